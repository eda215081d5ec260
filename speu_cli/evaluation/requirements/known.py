"""Gates on metrics that there are, in the units that these have; others are refused at once."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from decimal import Decimal

from speu_cli.evaluation.definitions.definition import Unit
from speu_cli.evaluation.definitions.lookup import DEFINITIONS, nearest
from speu_cli.evaluation.definitions.needs import needs
from speu_cli.evaluation.gates import Gate

_ELSEWHERE = "docs/metric-table.md has the names of all metrics"


def understood(gate: Gate) -> Gate:
    """Make sure that a gate can say something about a metric of ``speu eval``.

    Args:
        gate: As it was parsed.

    Returns:
        The gate with its bound in the metric's own unit.

    Raises:
        InputError: There is no such metric, it never has an interval that is asked for, it has another unit,
            or it can have no value beyond the bound (84 for 0.84): the comparison would say nothing.
    """
    if gate.metric not in DEFINITIONS:
        raise gate.refused(f"no metric {gate.metric!r}", hint=_did_you_mean(gate.metric, DEFINITIONS))
    definition = DEFINITIONS[gate.metric]
    if gate.part != "value" and not definition.has_interval:
        raise gate.refused(f"{gate.metric} never has an interval", hint=f"leave .{gate.part} out")
    bound = _in_unit(gate, definition.unit)
    low, high = definition.unit.low, definition.unit.high
    if not low <= bound <= high:
        raise gate.refused(
            f"{gate.metric} lies in {low:g} … {high:g}, the bound {bound:g} does not",
            hint=_how_to_write(definition.unit),
        )
    return replace(gate, bound=bound, unit="")


def require_possible(gates: Iterable[Gate], task: str, given: Collection[str]) -> None:
    """Refuse gates on metrics that an evaluation will not have.

    Args:
        gates: From `understood`.
        task: Name of the model's task.
        given: What the evaluation is given, as :mod:`speu_cli.evaluation.definitions.needs` calls it.

    Raises:
        InputError: A metric is of another task, or needs something that is not given.
    """
    for gate in gates:
        definition = DEFINITIONS[gate.metric]
        if definition.tasks and task not in definition.tasks:
            raise gate.refused(
                f"{gate.metric} is of {' and '.join(definition.tasks)}, but the task is {task}",
                hint=_did_you_mean(gate.metric, _of_task(task)),
            )
        lacking = [option for option in needs(gate.metric) if option not in given]
        if lacking:
            raise gate.refused(
                f"{gate.metric} needs {' and '.join(lacking)}", hint="give it, or leave the gate out"
            )


def _of_task(task: str) -> list[str]:
    return [name for name, one in DEFINITIONS.items() if not one.tasks or task in one.tasks]


def _in_unit(gate: Gate, unit: Unit) -> float:
    """The bound in the metric's own unit."""
    if not gate.unit:
        return gate.bound
    if gate.unit not in unit.signs:
        raise gate.refused(
            f"{gate.metric} is in {unit.name}, which {gate.unit!r} does not fit", hint=_how_to_write(unit)
        )
    # By decimal digits: 84.3 % is 0.843, where a division of floats may be off by a bit.
    return float(Decimal(repr(gate.bound)).scaleb(unit.signs[gate.unit]))


def _how_to_write(unit: Unit) -> str:
    """Examples of a number in a unit."""
    signs = [f"{0.84 * 10**-power:g}{sign}" for sign, power in unit.signs.items()]
    return f"write it as in {' or '.join(['0.84', *signs])}"


def _did_you_mean(name: str, among: Iterable[str]) -> str:
    near = nearest(name, among)
    return f"did you mean {' or '.join(near)}?" if near else _ELSEWHERE
