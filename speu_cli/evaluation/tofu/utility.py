"""Model utility: one number for all that a model should still know."""

import math
from collections.abc import Sequence

from scipy import stats

from speu_cli.evaluation.metric import Metric, not_computed


def model_utility(parts: Sequence[Metric]) -> Metric:
    """The harmonic mean of probability, ROUGE-L and truth ratio on the retain set, real authors and facts.

    Args:
        parts: The nine, each 0 … 1.

    Returns:
        0 … 1, without an interval; 0 as soon as one of them is, NaN where one is missing.
    """
    n = sum(part.n for part in parts)
    values = [part.value for part in parts]
    if not all(map(math.isfinite, values)):
        return not_computed(n)
    return Metric(float(stats.hmean(values)), math.nan, math.nan, n)
