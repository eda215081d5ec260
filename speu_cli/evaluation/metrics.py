"""What is said about a model after a request: scores, losses and membership on three sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speu_cli.evaluation import intervals
from speu_cli.evaluation.membership import membership
from speu_cli.evaluation.metric import Metric, not_computed

if TYPE_CHECKING:
    from collections.abc import Callable

    from speu_cli.tasks.outcomes import Outcomes


def accuracy(outcomes: Outcomes) -> Metric:
    """Measure the fraction of right predictions.

    Args:
        outcomes: Of one set of examples.

    Returns:
        The accuracy, with Wilson's interval.
    """
    right = int(np.count_nonzero(outcomes.predictions == outcomes.labels))
    return intervals.proportion(right, len(outcomes.labels))


def spearman(outcomes: Outcomes) -> Metric:
    """Measure the rank correlation of predictions and labels.

    Args:
        outcomes: Of one set of examples.

    Returns:
        Spearman's correlation, with the interval of Bonett and Wright.
    """
    return intervals.spearman(outcomes.predictions, outcomes.labels)


SCORES: dict[str, Callable[[Outcomes], Metric]] = {"accuracy": accuracy, "spearman": spearman}


def measure(
    forget: Outcomes, remaining: Outcomes, test: Outcomes, *, score_name: str, seed: int = 0
) -> dict[str, Metric]:
    """Measure a model on the forget, remaining and test sets.

    Args:
        forget: Outcomes on D_f.
        remaining: Outcomes on D_r, or on a random part of it.
        test: Outcomes on the test set.
        score_name: A key of `SCORES`: the task's score.
        seed: Of the draw that the membership attack is fitted on.

    Returns:
        By name, in reading order: `unlearning_<score>`, `remaining_<score>` and `testing_<score>` (the
        score on D_f, D_r and the test set; all three higher for a model that knows more), `loss.forget`,
        `loss.remaining`, `loss.test`, and those of `membership`.

    Raises:
        ValueError: If there is no score of that name.
    """
    if score_name not in SCORES:
        raise ValueError(f"score {score_name!r}, expected one of: {', '.join(SCORES)}")
    return {
        f"unlearning_{score_name}": _score(forget, score_name),
        f"remaining_{score_name}": _score(remaining, score_name),
        f"testing_{score_name}": _score(test, score_name),
        "loss.forget": intervals.mean(forget.losses),
        "loss.remaining": intervals.mean(remaining.losses),
        "loss.test": intervals.mean(test.losses),
        **membership(forget.confidences, remaining.confidences, test.confidences, seed=seed),
    }


def _score(outcomes: Outcomes, score_name: str) -> Metric:
    # The largest of NaN logits is still some class: a score of a broken model would look like a score.
    if not all(np.isfinite(x).all() for x in (outcomes.losses, outcomes.predictions, outcomes.labels)):
        return not_computed(len(outcomes.labels))
    return SCORES[score_name](outcomes)
