"""Forget quality: can the model be told from one that never saw the forget set?"""

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from speu_cli.evaluation.metric import Metric, not_computed

Floats = npt.NDArray[np.float64]


def forget_quality(logs: Floats, reference: Floats) -> tuple[Metric, Metric]:
    """Compare the truth ratios of two models on the forget set, by Kolmogorov and Smirnov's test.

    The test looks at order alone, so that R, 1/R and log R give the same.

    Args:
        logs: Log R of the model [n].
        reference: Log R of a model retrained without the forget set [m].

    Returns:
        The p-value of the two-sided test, exact up to 10,000 examples a side: 1 where the ratios look alike,
        near 0 where they cannot be of one distribution; and the distance, the largest difference of the two
        distribution functions. NaN where a ratio is missing.
    """
    n = len(logs) + len(reference)
    if not (len(logs) and len(reference) and np.isfinite(logs).all() and np.isfinite(reference).all()):
        return not_computed(n), not_computed(n)
    found = stats.ks_2samp(logs, reference)
    quality, distance = (Metric(float(x), math.nan, math.nan, n) for x in (found.pvalue, found.statistic))
    return quality, distance
