"""Whether a model behaves as retrained models do, example by example and not only on average."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from speu_cli.evaluation import intervals
from speu_cli.evaluation.metric import Metric, not_computed
from speu_cli.tasks.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
Sets = Mapping[str, Outcomes]
# KL(one ‖ other) of each example of a set, of two models by name; None where there is none.
Divergences = Callable[[str, str, str], Floats | None]
FORGET = "forget"


def agreement(
    name: str, references: Sequence[str], outcomes: Mapping[str, Sets], divergences: Divergences
) -> dict[str, Metric]:
    """Compare a model with each of the references, on the same examples.

    Args:
        name: The model, a key of ``outcomes``.
        references: Likewise, at least one.
        outcomes: Of every model on every set.
        divergences: Gives KL(reference ‖ model), in nats.

    Returns:
        `agreement.loss_rank.forget`: Spearman's correlation of the losses on D_f;
        `agreement.confidence.forget`: mean absolute difference of the confidences on D_f;
        `agreement.kl.<set>`: mean KL divergence of the predictions. Each is the mean over the references.
    """
    return _of_pairs([(reference, name) for reference in references], outcomes, divergences)


def agreement_of_references(
    references: Sequence[str], outcomes: Mapping[str, Sets], divergences: Divergences
) -> dict[str, Metric]:
    """Compare the references with each other: what retraining from another seed changes.

    Args:
        references: Keys of ``outcomes``.
        outcomes: Of every model on every set.
        divergences: Gives KL(one ‖ other), in nats.

    Returns:
        As `agreement`, the mean over all pairs, both ways round; nothing of fewer than two.
    """
    return _of_pairs(list(itertools.permutations(references, 2)), outcomes, divergences)


def _of_pairs(
    pairs: Sequence[tuple[str, str]], outcomes: Mapping[str, Sets], divergences: Divergences
) -> dict[str, Metric]:
    if not pairs:
        return {}
    on_forget = [(outcomes[one][FORGET], outcomes[other][FORGET]) for one, other in pairs]
    differences = [np.abs(one.confidences - other.confidences) for one, other in on_forget]
    metrics = {
        "agreement.loss_rank.forget": loss_rank([(one.losses, other.losses) for one, other in on_forget]),
        "agreement.confidence.forget": not_negative(np.mean(differences, axis=0)),
    }
    for place in outcomes[pairs[0][0]]:
        found = [divergences(one, other, place) for one, other in pairs]
        known = [values for values in found if values is not None]
        if known:
            whole = len(known) == len(pairs)
            metrics[f"agreement.kl.{place}"] = (
                kept_mean(np.mean(known, axis=0)) if whole else not_computed(len(known[0]))
            )
    return metrics


def loss_rank(pairs: Sequence[tuple[Floats, Floats]]) -> Metric:
    """Mean of the rank correlations of losses.

    Args:
        pairs: Losses of two models on the same examples, each [n]; at least one pair.

    Returns:
        The mean, with the interval that one such correlation of that size has: the mean of several, on the
        same examples, varies no more than one of them. NaN when a side is constant.
    """
    n = len(pairs[0][0])
    if not all(np.isfinite(side).all() for pair in pairs for side in pair):
        return not_computed(n)
    found = [intervals.spearman(one, other).value for one, other in pairs]
    return intervals.rank_correlation(math.fsum(found) / len(found), n)


def not_negative(values: Floats) -> Metric:
    """Mean of numbers that are not negative, with the t interval, cut at 0."""
    found = intervals.mean(values)
    return Metric(found.value, max(0.0, found.low) if found.low < 0 else found.low, found.high, found.n)


def kept_mean(values: Floats) -> Metric:
    """Mean of the examples that there is a number of; n says how many."""
    return not_negative(values[~np.isnan(values)])
