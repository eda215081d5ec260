"""What a few draws say: a mean with its t interval, and whether two methods differ by more than the noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t

CONFIDENCE = 0.95
NOISE, LARGER, SMALLER, UNKNOWN = "inside the noise", "larger", "smaller", "one draw: not known"


@dataclass(frozen=True)
class Interval:
    """A mean and the half of its 95 % t interval, infinite for one value.

    Attributes:
        mean: Of the values.
        half: Half the width.
        count: How many values.
    """

    mean: float
    half: float
    count: int

    @property
    def word(self) -> str:
        """What a difference with this interval is called."""
        if math.isinf(self.half):
            return UNKNOWN
        if abs(self.mean) <= self.half:
            return NOISE
        return LARGER if self.mean > 0 else SMALLER

    @property
    def told_apart(self) -> bool:
        """Whether 0 lies outside."""
        return self.word in {LARGER, SMALLER}

    def text(self, digits: int = 2, *, sign: bool = False) -> str:
        """Write ``mean ± half``."""
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}"
        return f"{mean} ± {self.half:.{digits}f}" if math.isfinite(self.half) else mean


def interval(values: Sequence[float]) -> Interval:
    """Take the mean of values and its t interval.

    Args:
        values: One a draw; at least one.

    Returns:
        Mean and half width, s times `in_deviations`; infinite for one value.
    """
    count = len(values)
    if count == 1:
        return Interval(values[0], math.inf, 1)
    return Interval(fmean(values), in_deviations(count) * stdev(values), count)


def in_deviations(count: int) -> float:
    """Half the width of the interval of at least two values, in their standard deviations: t(n − 1)/√n."""
    return float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) / math.sqrt(count)


def paired(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Take the interval of one − other, draw by draw.

    Args:
        one: A number a draw; NaN where there is none.
        other: Likewise, of the same draws.

    Returns:
        Of the draws where both are there; NaN and count 0 if there is no such draw.
    """
    differences = [a - b for a, b in zip(one, other, strict=True) if not math.isnan(a - b)]
    return interval(differences) if differences else Interval(math.nan, math.inf, 0)
