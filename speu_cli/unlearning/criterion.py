"""Whether a step did what it should and no more, told at request time: no retrained model is known.

A change counts only where it is more than noise: the mean of paired differences, before and after on the same
examples, beyond so many of its standard errors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

Floats = npt.NDArray[np.float64]

# Two samples of one distribution are told apart this rarely.
SIGNIFICANCE = 0.05
LEAST_OF_THE_WAY, NEAR = 0.5, 0.25
CURVE_EXPONENT = 0.5  # β of a learning curve n^−β


@dataclass(frozen=True)
class Check:
    """One part of the criterion.

    Attributes:
        name: Such as ``remaining.change``.
        value: What was found.
        least: What it has to be at least.
        most: What it may be at most.
    """

    name: str
    value: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return self.least <= self.value <= self.most

    def __str__(self) -> str:
        asked = f"at least {self.least:.3g}" if self.most == math.inf else f"at most {self.most:.3g}"
        return f"{self.name} is {self.value:.3g}, expected {asked}"


def looks_unseen(before: Floats, after: Floats, aims: Floats) -> Check:
    """Compare the margins of the forget set with its targets, as two samples.

    Where the targets are much alike any difference would tell them apart: what lies as near to its own as a
    quarter of its way counts as there.

    Args:
        before: Margins of the forget set, ``[n_f]``.
        after: Likewise, after the step.
        aims: Its targets, ``[n_f]``.

    Returns:
        The asymptotic p-value of the two-sample Kolmogorov-Smirnov test; at least 0.05.
    """
    there = np.abs(after - aims) <= NEAR * np.abs(before - aims)
    p = float(ks_2samp(np.where(there, aims, after), aims, method="asymp").pvalue)
    return Check("forget.unseen_p", p, least=SIGNIFICANCE)


def reached(before: Floats, after: Floats, aims: Floats) -> Check:
    """Measure how far the forget set came: of a few examples no test of distributions tells it.

    Args:
        before: Margins of the forget set, ``[n_f]``; none below its target.
        after: Likewise, after the step.
        aims: Targets, ``[n_f]``.

    Returns:
        The part of the way that was gone, summed over the examples, 1 where there was none; at least a half.
    """
    way, left = float((before - aims).sum()), float(np.maximum(after - aims, 0.0).sum())
    return Check("forget.reached", 1 - left / way if way > 0 else 1.0, least=LEAST_OF_THE_WAY)


def less_data(error: float, share: float) -> float:
    """How much more a model may err for having been trained on fewer examples.

    Test errors fall as n^−β along a learning curve, those of deep networks, too (Hestness et al., "Deep
    learning scaling is predictable, empirically", 2017); β = ½ is a classical rate.

    Args:
        error: Of the model trained on all, ≥ 0.
        share: Of the examples that are not trained on, 0 ≤ share < 1.

    Returns:
        error · ((1 − share)^−½ − 1).
    """
    return error * (math.pow(1 - share, -CURVE_EXPONENT) - 1)


def not_worse(name: str, before: Floats, after: Floats, width: float, allowed: float = 0.0) -> Check:
    """Whether answers got no worse than noise, and what is expected anyway, explains.

    Args:
        name: Of the set.
        before: How well each example was answered, ``[n]``, n ≥ 2; higher is better.
        after: Likewise, of the same examples.
        width: Standard errors of the mean difference that it may fall by.
        allowed: What it may fall by besides, ≥ 0.

    Returns:
        The mean difference; at least −width of its standard errors, less what is allowed.
    """
    difference = after - before
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return Check(f"{name}.change", float(difference.mean()), least=-width * error - allowed)


def balance_kept(name: str, before: Floats, after: Floats, width: float) -> Check:
    """Whether each class is predicted as often as it was.

    Args:
        name: Of the set.
        before: Predicted classes, ``[n]``.
        after: Likewise, of the same examples.
        width: Standard errors that the share of a class may move by.

    Returns:
        The most that the share of a class moved, in its standard errors; at most ``width``.
    """
    moved = [
        _errors((after == one).astype(float) - (before == one).astype(float))
        for one in np.unique(np.concatenate([before, after]))
    ]
    return Check(f"{name}.balance_errors", max(moved), most=width)


def all_met(checks: Sequence[Check]) -> bool:
    """Whether every part of the criterion is met."""
    return all(check.met for check in checks)


def _errors(difference: Floats) -> float:
    """The size of the mean of differences of −1, 0 or 1 in its standard errors.

    Args:
        difference: Of each example, ``[n]``, n ≥ 2.

    Returns:
        The size; a standard error is that of one example at least, for where all are alike it would be 0.
    """
    n = len(difference)
    error = max(float(difference.std(ddof=1)) / math.sqrt(n), 1 / n)
    return abs(float(difference.mean())) / error
