"""The original and the retrained model of several runs: one where the runs agree about it, else each."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.runs.run import Metrics, Side

# Of a model beside others, not of it alone: another model under request gives another number.
_BESIDE_OTHERS = ("agreement.", "membership.privleak", "attack.relearn.steps")
ROUNDING, SMALLEST = 1e-4, 1e-6  # other batches, another device


@dataclass(frozen=True)
class Common:
    """A side, and the runs that name it.

    Attributes:
        side: What they say of it.
        runs: Their names.
    """

    side: Side
    runs: list[str]


def common_sides(given: Iterable[tuple[str, Side | None]]) -> list[Common]:
    """Put together what runs say of the same models.

    Args:
        given: Name of a run, and a side of it; None where it has none.

    Returns:
        Each side that differs from the others, in order.
    """
    found: list[Common] = []
    for run, side in given:
        if side is None:
            continue
        for number, known in enumerate(found):
            if _same(known.side, side):
                merged = Side(_merged(known.side.metrics, side.metrics), known.side.each, known.side.weights)
                found[number] = Common(merged, [*known.runs, run])
                break
        else:
            found.append(Common(side, [run]))
    return found


def _same(one: Side, other: Side) -> bool:
    """Whether these are the same weights, with the same metrics as far as both have them."""
    shared = [name for name in one.metrics.keys() & other.metrics.keys() if _is_own(name)]
    same = (_close(one.metrics[name], other.metrics[name]) for name in shared)
    return sorted(one.weights) == sorted(other.weights) and all(same)


def _merged(one: Metrics, other: Metrics) -> dict[str, Metric]:
    """All metrics of either; without those about which they differ, which are not of the model alone."""
    differ = {name for name in one.keys() & other.keys() if not _close(one[name], other[name])}
    return {name: metric for name, metric in {**other, **one}.items() if name not in differ}


def _is_own(name: str) -> bool:
    return not name.startswith(_BESIDE_OTHERS)


def _close(one: Metric, other: Metric) -> bool:
    if math.isnan(one.value) or math.isnan(other.value):
        return math.isnan(one.value) and math.isnan(other.value)
    return math.isclose(one.value, other.value, rel_tol=ROUNDING, abs_tol=SMALLEST)
