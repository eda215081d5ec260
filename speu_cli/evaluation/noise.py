"""How much retraining itself varies: several references, their mean, and the floor that they set."""

import itertools
import math
from collections.abc import Mapping, Sequence

from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric

_GAP, _NOISE = "gap.", "noise."


def mean_of_references(references: Sequence[Mapping[str, Metric]]) -> dict[str, Metric]:
    """Take the mean of each metric over the references.

    Args:
        references: Metrics of each, on the same sets; at least one.

    Returns:
        Means by name, of one reference its own metrics. The bounds are means too: they tell how sure the
        number is with these examples, not how much another seed changes it, which `noise` does.
    """
    if len(references) == 1:
        return dict(references[0])

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    found: dict[str, Metric] = {}
    for name in references[0]:
        each = [metrics[name] for metrics in references if name in metrics]
        if len(each) == len(references):
            value, low, high = (
                mean([getattr(one, part) for one in each]) for part in ("value", "low", "high")
            )
            found[name] = Metric(value, low, high, each[0].n)
    return found


def noise(references: Sequence[Mapping[str, Metric]]) -> dict[str, float] | None:
    """Measure how far apart references are, in points.

    Args:
        references: Metrics of each, on the same sets.

    Returns:
        `noise.<metric>` for each metric that has a gap: the mean of |a − b|·100 over all pairs of references;
        and `noise.average`, their mean. None of fewer than two references.
    """
    pairs = [gaps(one, other) for one, other in itertools.combinations(references, 2)]
    if not pairs:
        return None
    return {
        _NOISE + name.removeprefix(_GAP): math.fsum(pair[name] for pair in pairs) / len(pairs)
        for name in pairs[0]
    }


def inside_noise(distances: Mapping[str, float], floor: Mapping[str, float]) -> dict[str, bool | None]:
    """Tell which gaps are no larger than the distance between two references.

    Args:
        distances: From `gaps`.
        floor: From `noise`.

    Returns:
        By metric, and `average`; None where either was not computed.
    """
    inside: dict[str, bool | None] = {}
    for name, gap in distances.items():
        metric = name.removeprefix(_GAP)
        bound = floor.get(_NOISE + metric, math.nan)
        inside[metric] = None if math.isnan(gap) or math.isnan(bound) else gap <= bound
    return inside
