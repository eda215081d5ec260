"""95 % intervals for proportions, mean losses, rank correlations and areas under the curve."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from speu_cli.evaluation.metric import Metric, not_computed

LEVEL = 0.95
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))
# A bound may lie within 1e-8 of 1, where the 2e-12 that the search stops at by default would show.
_FINEST = 1e-15
FEWEST = 2  # points that a line can be laid through

Floats = npt.NDArray[np.float64]


def proportion(count: int, n: int) -> Metric:
    """Estimate a proportion, with Wilson's interval.

    Args:
        count: Successes, 0 to n.
        n: Trials; none gives NaN.

    Returns:
        count/n.
    """
    if n == 0:
        return not_computed(0)
    bounds = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return Metric(count / n, float(bounds.low), float(bounds.high), n)


def mean(values: Floats) -> Metric:
    """Estimate a mean, with the t interval.

    Args:
        values: One number per example [n]. A non-finite one, or none at all, gives NaN.

    Returns:
        The mean; without bounds for a single value.
    """
    n = len(values)
    if n == 0:
        return not_computed(0)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = float(np.mean(values))
        deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
    if not math.isfinite(centre):
        return not_computed(n)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * deviation / math.sqrt(n) if n > 1 else math.nan
    return Metric(centre, centre - half, centre + half, n)


def spearman(predictions: Floats, labels: Floats) -> Metric:
    """Estimate Spearman's rank correlation, with an interval on Fisher's z.

    The variance of z is (1 + r²/2)/(n − 3), after Bonett and Wright, "Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", Psychometrika 65 (2000). At r = ±1 the
    interval shrinks to the value itself.

    Args:
        predictions: One number per example [n].
        labels: One number per example [n].

    Returns:
        The correlation; NaN when either side is constant, without bounds up to n = 3.
    """
    n = len(labels)
    if n == 0 or predictions.min() == predictions.max() or labels.min() == labels.max():
        return not_computed(n)
    return rank_correlation(float(stats.spearmanr(predictions, labels).statistic), n)


def rank_correlation(value: float, n: int) -> Metric:
    """Put the interval of `spearman` round a rank correlation.

    Args:
        value: The correlation, -1 to 1, or NaN.
        n: Number of examples.

    Returns:
        It, with its bounds.
    """
    return _correlation(value, n, lambda r: 1 + r * r / 2)


def pearson(predictions: Floats, labels: Floats) -> Metric:
    """Estimate Pearson's correlation, with Fisher's interval on z, whose variance is 1/(n − 3).

    Args:
        predictions: One number per example [n].
        labels: One number per example [n].

    Returns:
        The correlation; NaN when either side is constant, without bounds up to n = 3.
    """
    n = len(labels)
    if n < FEWEST or predictions.min() == predictions.max() or labels.min() == labels.max():
        return not_computed(n)
    return _correlation(float(stats.pearsonr(predictions, labels).statistic), n, lambda _: 1.0)


def _correlation(value: float, n: int, spread: Callable[[float], float]) -> Metric:
    """Put an interval round a correlation, on Fisher's z, whose variance is spread(r)/(n − 3)."""
    # Rounding may carry a perfect correlation past 1, where Fisher's z is undefined.
    r = min(1.0, max(-1.0, value))
    freedom = n - 3
    if freedom <= 0 or math.isnan(r):
        return Metric(r, math.nan, math.nan, n)
    if abs(r) == 1:
        return Metric(r, r, r, n)
    z, half = math.atanh(r), _Z * math.sqrt(spread(r) / freedom)
    return Metric(r, math.tanh(z - half), math.tanh(z + half), n)


def area(value: float, positives: int, negatives: int) -> Metric:
    """Put an interval round an area under the ROC curve.

    The variance is that of Hanley and McNeil, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", Radiology 143 (1982), taken at the bound instead of at the estimate:
    method 5 of Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2", Statistics in Medicine 25 (2006). At areas of 0 and 1, where the usual standard
    error is 0, it still gives an honest width.

    Args:
        value: The area, 0 to 1.
        positives: Number of positive examples, at least 1.
        negatives: Number of negative examples, at least 1.

    Returns:
        The area with its bounds; n counts both kinds.
    """

    def excess(bound: float) -> float:
        """(value − θ)² − z²·V(θ): below 0 exactly for the θ inside the interval."""
        mean_less_one = (positives + negatives) / 2 - 1
        spread = 2 * mean_less_one + 1 - 3 * mean_less_one / ((2 - bound) * (1 + bound))
        variance = bound * (1 - bound) * spread / (positives * negatives)
        return (value - bound) ** 2 - _Z**2 * variance

    # θ = 0 and θ = 1 are roots of their own when the value lies there; the search starts just inside.
    inside = min(max(value, 1e-12), 1 - 1e-12)
    low = 0.0 if value == 0 else float(optimize.brentq(excess, 0.0, inside, xtol=_FINEST))
    high = 1.0 if value == 1 else float(optimize.brentq(excess, inside, 1.0, xtol=_FINEST))
    return Metric(value, low, high, positives + negatives)
