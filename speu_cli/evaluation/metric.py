"""A measured number with its interval."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A value with its two-sided 95 % interval.

    Attributes:
        value: The estimate; NaN when it could not be computed.
        low: Lower bound; NaN when there is no interval.
        high: Upper bound; NaN when there is no interval.
        n: Number of examples that the estimate rests on.
    """

    value: float
    low: float
    high: float
    n: int


def not_computed(n: int) -> Metric:
    """Make the metric of a quantity that the outcomes do not determine.

    Args:
        n: Number of examples that were at hand.

    Returns:
        A metric of NaNs.
    """
    return Metric(math.nan, math.nan, math.nan, n)


def as_number(x: float) -> float | None:
    """Turn a float into what strict JSON can hold.

    Args:
        x: Any float.

    Returns:
        The same number, or None for NaN and the infinities.
    """
    return float(x) if math.isfinite(x) else None
