"""Conditions that numbers must meet: `testing_accuracy>=84%`, `membership.auc.high<=0.6`."""

import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from speu_cli.errors import InputError
from speu_cli.evaluation.definitions.definition import PERCENT_SIGN, POINTS_SIGN
from speu_cli.evaluation.metric import Metric

Part = Literal["value", "low", "high"]

_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_GRAMMAR = re.compile(
    r"\s*(?P<metric>[A-Za-z]\w*(?:\.\w+)*?)(?:\.(?P<part>low|high))?"
    r"\s*(?P<op>>=|<=|>|<)"
    r"\s*(?P<bound>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    rf"\s*(?P<unit>{PERCENT_SIGN}|{POINTS_SIGN})?\s*",
    re.ASCII,
)
HINT = (
    "write METRIC OP NUMBER, OP one of >= <= > <, as in 'testing_accuracy>=0.84', 'testing_accuracy>=84%', "
    "'gap.average<=2pt' or, of the interval, 'membership.auc.high<=0.6'"
)


@dataclass(frozen=True)
class Gate:
    """A condition on one metric.

    Attributes:
        expression: As it was written.
        metric: Name of the metric.
        op: One of >=, <=, >, <.
        bound: What is compared with, in `unit`.
        part: What of the metric is compared: its value, or a bound of its interval.
        unit: Sign behind the bound; empty: the metric's own unit.
        why: Why it is required, if that was said.
        origin: Where it was written, other than on the command line.
    """

    expression: str
    metric: str
    op: str
    bound: float
    part: Part = "value"
    unit: str = ""
    why: str | None = None
    origin: str = ""

    def refused(self, because: str, *, hint: str | None = None) -> InputError:
        """The error that names this gate."""
        return InputError(f"{_called(self.expression, self.origin)}: {because}", hint=hint)


@dataclass(frozen=True)
class GateResult:
    """What became of a gate.

    Attributes:
        expression: As it was written.
        passed: Whether the condition is met.
        value: The number that was compared; None when it was not computed.
        reason: One line: what was compared, or why nothing could be.
        why: Why it is required, if that was said.
    """

    expression: str
    passed: bool
    value: float | None
    reason: str
    why: str | None = None

    @property
    def told(self) -> str:
        """The reason, and why it is required."""
        return self.reason if self.why is None else f"{self.reason} ({self.why})"


def parse(expression: str, *, why: str | None = None, origin: str = "") -> Gate:
    """Read a gate. Whether such a metric exists is not looked at.

    Args:
        expression: METRIC OP NUMBER, spaces allowed in between; ``.low`` or ``.high`` behind the metric takes
            the bound of its interval, ``%`` or ``pt`` behind the number gives its unit.
        why: Why it is required.
        origin: Where it is written, for messages.

    Returns:
        The gate.

    Raises:
        InputError: If the expression does not have that form, or the number is not finite.
    """
    called, match = _called(expression, origin), _GRAMMAR.fullmatch(expression)
    if match is None:
        raise InputError(f"{called}: expected METRIC OP NUMBER", hint=HINT)
    bound = float(match["bound"])
    if not math.isfinite(bound):
        raise InputError(f"{called}: got {match['bound']}, expected a finite number", hint=HINT)
    part: Part = "low" if match["part"] == "low" else "high" if match["part"] == "high" else "value"
    unit = match["unit"] or ""
    return Gate(expression, match["metric"], match["op"], bound, part, unit, why, origin)


def check(gates: Iterable[Gate], metrics: Mapping[str, Metric | float]) -> list[GateResult]:
    """Compare each gate's metric, or the bound of its interval that it names, with the gate's bound.

    A gate passes only on evidence: it fails when what it names was not computed.

    Args:
        gates: With bounds in the units of the metrics.
        metrics: By name.

    Returns:
        One result per gate, in order.
    """
    return [_check(gate, metrics) for gate in gates]


def _check(gate: Gate, metrics: Mapping[str, Metric | float]) -> GateResult:
    if gate.metric not in metrics:
        return _not_computed(gate, f"no metric {gate.metric} was computed")
    found = metrics[gate.metric]
    metric = found if isinstance(found, Metric) else Metric(float(found), math.nan, math.nan, 0)
    if not math.isfinite(metric.value):
        return _not_computed(gate, f"{gate.metric} could not be computed")
    value = {"value": metric.value, "low": metric.low, "high": metric.high}[gate.part]
    if not math.isfinite(value):
        return _not_computed(gate, f"{gate.metric} is {metric.value!r}, but has no interval here")
    passed = bool(_COMPARE[gate.op](value, gate.bound))
    reason = f"{value!r} is {'' if passed else 'not '}{gate.op} {gate.bound!r}"
    return GateResult(gate.expression, passed, value, reason, gate.why)


def _not_computed(gate: Gate, reason: str) -> GateResult:
    return GateResult(gate.expression, False, None, reason, gate.why)


def _called(expression: str, origin: str) -> str:
    return f"{origin}: requirement {expression!r}" if origin else f"requirement {expression!r}"
