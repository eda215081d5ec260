"""What each forgotten example would be known like, had the model never seen it."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]


def unseen_margins(now: Floats, known: Floats, unseen: Floats, lowest: float) -> Floats:
    """Give each forgotten example the margin that an unseen example has where it stands.

    Where it stands is half way between its rank in the forget set and its rank among all training examples.
    By the first alone, forgotten and unseen examples would have one distribution, though a few examples may
    well be easier or harder than most; by the second alone, a few odd ones would count for too much.

    Args:
        now: Margins of the forget set, ``[n]``, n ≥ 1.
        known: Margins of the remaining training examples, ``[k]``, in any order.
        unseen: Margins of held-out examples, ``[m]``, in any order, m ≥ 1.
        lowest: No target is below it: by how much an example is missed says nothing of its having been seen.

    Returns:
        A target for each, ``[n]``; never above what it is now, for nothing is to be learnt.
    """
    own = (rankdata(now) - 0.5) / len(now)
    among = (np.searchsorted(np.sort(known), now) + 0.5) / (len(known) + 1)
    aims: Floats = np.minimum(np.maximum(np.quantile(unseen, (own + among) / 2), lowest), now)
    return aims
