"""How likely answers are, from their mean losses a token, the end-of-text token included."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

Floats = npt.NDArray[np.float64]


def probability(losses: Floats) -> Floats:
    """The probability of an answer, to the power of one over its number of tokens: exp(−ℓ).

    Args:
        losses: ℓ of the right answers [n].

    Returns:
        0 … 1, [n].
    """
    return np.exp(-losses)


def probability_among(losses: Floats, wrong: Sequence[Floats]) -> Floats:
    """The right answer's share of the probability of all that are offered: p/(p + Σ p_wrong).

    Args:
        losses: ℓ of the right answers [n].
        wrong: ℓ of each one's wrong answers, n arrays [k], k at least 1.

    Returns:
        0 … 1, [n]. By a softmax of −ℓ, which holds where every p is too small for a float.
    """
    offers = (np.concatenate([[own], others]) for own, others in zip(losses, wrong, strict=True))
    return np.array([softmax(-offered)[0] for offered in offers])
