"""Which examples are alike, by what is true of them: some answers are harder to give unseen than others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float32]

MOST = 5  # strata of numbers


def strata_of(known: Numbers, others: Sequence[Numbers]) -> list[Ints]:
    """Put examples into strata.

    Args:
        known: What is true of the training examples, ``[n]``: integers are kinds, each a stratum; numbers are
            cut at their fifths, or between their values where these are fewer.
        others: What is true of other examples, likewise.

    Returns:
        The stratum of each example: of the training examples, and of the others.
    """
    every = (known, *others)
    if np.issubdtype(known.dtype, np.integer) or not len(known):
        return [one.astype(np.int64) for one in every]
    values: npt.NDArray[np.float64] = np.unique(known).astype(float)
    fifths = np.quantile(known, np.arange(1, MOST) / MOST)
    edges = fifths if len(values) > MOST else (values[1:] + values[:-1]) / 2
    return [np.digitize(one, edges) for one in every]
