"""The truth ratio: how likely wrong answers are beside the right one, said in other words.

R = p_wrong/p_right, with the p of an answer exp(−ℓ). Published figures take the geometric mean of the wrong
answers' p; part of the public code takes the arithmetic mean instead, which gives other numbers. Ratios are
kept as logarithms: those of a broken model are too large for a float.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

Floats = npt.NDArray[np.float64]


def log_ratios(right: Floats, wrong: Sequence[Floats]) -> Floats:
    """Log R with the geometric mean, as published: ℓ_right − mean ℓ_wrong.

    Args:
        right: ℓ of the right answers in other words [n].
        wrong: ℓ of each one's wrong answers, n arrays [k], k at least 1.

    Returns:
        [n].
    """
    means: Floats = np.array([own.mean() for own in wrong])
    return right - means


def arithmetic_log_ratios(right: Floats, wrong: Sequence[Floats]) -> Floats:
    """Log R with the arithmetic mean: log(mean p_wrong/p_right). Not what published figures are made of.

    Args:
        right: ℓ of the right answers in other words [n].
        wrong: ℓ of each one's wrong answers, n arrays [k], k at least 1.

    Returns:
        [n].
    """
    means: Floats = np.array([logsumexp(-own) - np.log(len(own)) for own in wrong])
    return right + means


def of_known(logs: Floats) -> Floats:
    """How far right answers stand out: max(0, 1 − R), for what a model should know.

    Args:
        logs: Log R [n].

    Returns:
        0 … 1, [n]; 1 where wrong answers are impossible, 0 where they are as likely.
    """
    return -np.expm1(np.minimum(logs, 0))


def of_forgotten(logs: Floats) -> Floats:
    """How near right and wrong answers are: min(R, 1/R), for what a model should not know.

    Args:
        logs: Log R [n].

    Returns:
        0 … 1, [n]; 1 where they are as likely.
    """
    return np.exp(-np.abs(logs))
