"""Conditions that a model must meet: `testing_accuracy>=0.84`."""

import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from speu_cli.errors import InputError
from speu_cli.evaluation.attack_names import underlying
from speu_cli.evaluation.metric import Metric

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_GRAMMAR = re.compile(
    r"\s*(?P<metric>[A-Za-z]\w*(?:\.\w+)*)"
    r"\s*(?P<op>>=|<=|>|<)"
    r"\s*(?P<bound>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*",
    re.ASCII,
)
_FRACTIONS = (
    "membership.",
    "exact.",
    "best_f1.",
    "best_exact.",
    "token_accuracy.",
    "exact_memorisation.",
    "extraction_strength.",
    "rouge_l.",
    "tofu.",
)
_NO_FRACTIONS = ("membership.privleak",)  # in per cent, without a bound above
_SCORES = ("_accuracy", "_f1", "_probability")
_HINT = (
    "write METRIC OP NUMBER, OP one of >= <= > <, as in 'testing_accuracy>=0.84' or 'gap.average<=2'; "
    "accuracies and membership metrics are fractions from 0 to 1"
)


@dataclass(frozen=True)
class Gate:
    """A condition on one metric's value.

    Attributes:
        expression: As it was written.
        metric: Name of the metric.
        op: One of >=, <=, >, <.
        bound: What the value is compared with.
    """

    expression: str
    metric: str
    op: str
    bound: float


@dataclass(frozen=True)
class GateResult:
    """What became of a gate.

    Attributes:
        expression: As it was written.
        passed: Whether the condition is met.
        value: The metric's value; None when it was not computed.
        reason: One line: what was compared, or why nothing could be.
    """

    expression: str
    passed: bool
    value: float | None
    reason: str


def parse(expression: str) -> Gate:
    """Read a gate. Whether such a metric exists is for `check` to find.

    Args:
        expression: METRIC OP NUMBER, spaces allowed in between.

    Returns:
        The gate.

    Raises:
        InputError: If the expression does not have that form, or the number is not finite.
    """
    match = _GRAMMAR.fullmatch(expression)
    if match is None:
        raise InputError(f"requirement {expression!r}: expected METRIC OP NUMBER", hint=_HINT)
    bound = float(match["bound"])
    if not math.isfinite(bound):
        found = match["bound"]
        raise InputError(f"requirement {expression!r}: got {found}, expected a finite number", hint=_HINT)
    return Gate(expression, match["metric"], match["op"], bound)


def check(gates: Iterable[Gate], metrics: Mapping[str, Metric | float]) -> list[GateResult]:
    """Compare each gate's metric, its value and not its interval, with the bound.

    A gate passes only on evidence: it fails when its metric is unknown or was not computed, and when the
    bound of a fraction lies outside 0 to 1 (84 for 0.84), where the comparison would say nothing.

    Args:
        gates: From `parse`.
        metrics: By name: those of `measure`, those of `gaps`, or both.

    Returns:
        One result per gate, in order.
    """
    return [_check(gate, metrics) for gate in gates]


def _check(gate: Gate, metrics: Mapping[str, Metric | float]) -> GateResult:
    if gate.metric not in metrics:
        return GateResult(gate.expression, False, None, f"no metric {gate.metric} was computed")
    metric = metrics[gate.metric]
    value = metric.value if isinstance(metric, Metric) else float(metric)
    if not math.isfinite(value):
        return GateResult(gate.expression, False, None, f"{gate.metric} could not be computed")
    if _is_fraction(gate.metric) and not 0 <= gate.bound <= 1:
        reason = f"{gate.metric} is a fraction, {value!r}; the bound {gate.bound!r} is outside 0 to 1"
        return GateResult(gate.expression, False, value, reason)
    passed = bool(_COMPARE[gate.op](value, gate.bound))
    reason = f"{value!r} is {'' if passed else 'not '}{gate.op} {gate.bound!r}"
    return GateResult(gate.expression, passed, value, reason)


def _is_fraction(full_name: str) -> bool:
    name = underlying(full_name)
    if name in _NO_FRACTIONS:
        return False
    return name.startswith(_FRACTIONS) or (name.endswith(_SCORES) and not name.startswith("gap."))
