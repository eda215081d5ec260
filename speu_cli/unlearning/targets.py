"""What each forgotten example would be known like, had the model never seen it."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def unseen_margins(now: Floats, known: Floats, unseen: Floats, lowest: float) -> Floats:
    """Give each forgotten example the margin that an unseen example has where it stands among known ones.

    An example that is better known than a fraction q of the training set gets the q-quantile of the unseen
    ones. So what was hard before is hard after; and a forget set that is easier than most, as a few examples
    may be, stays so.

    Args:
        now: Margins of the forget set, ``[n]``.
        known: Margins of the remaining training examples, ``[k]``, in any order; at least one.
        unseen: Margins of held-out examples, ``[m]``, in any order; at least one.
        lowest: No target is below it: by how much an example is missed says nothing of its having been seen.

    Returns:
        A target for each, ``[n]``; never above what it is now, for nothing is to be learnt.
    """
    quantiles = (np.searchsorted(np.sort(known), now) + 0.5) / (len(known) + 1)
    aims: Floats = np.minimum(np.maximum(np.quantile(unseen, quantiles), lowest), now)
    return aims
