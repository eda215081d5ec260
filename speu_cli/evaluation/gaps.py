"""How far a model is from a reference, usually the model retrained without the forget set."""

import math
from collections.abc import Mapping

from speu_cli.evaluation.metric import Metric

_SCORES = ("unlearning_", "remaining_", "testing_")
_MEMBERSHIP = "membership.member_fraction"


def gaps(metrics: Mapping[str, Metric], reference: Mapping[str, Metric]) -> dict[str, float]:
    """Compare a model with a reference in points, |a − b|·100.

    Args:
        metrics: Of the model, from `measure`.
        reference: Of the reference model, on the same sets.

    Returns:
        `gap.<metric>` for the scores on the three sets and for `membership.member_fraction`, and
        `gap.average`, their mean: the average gap of the paper's tables. A metric that either side lacks
        gives NaN, and makes the average NaN.
    """
    names = [name for name in {**metrics, **reference} if name.startswith(_SCORES)] + [_MEMBERSHIP]
    points = {f"gap.{name}": 100 * abs(_value(metrics, name) - _value(reference, name)) for name in names}
    return {**points, "gap.average": math.fsum(points.values()) / len(points)}


def _value(metrics: Mapping[str, Metric], name: str) -> float:
    return metrics[name].value if name in metrics else math.nan
