"""How well each single example is answered: what a paired comparison of two models is made of."""

from speu_cli.evaluation.scores import Floats
from speu_cli.tasks.outcomes import Outcomes


def goodness(score: str, found: Outcomes) -> Floats:
    """Rate each answer.

    Args:
        score: The task's score, as ``Task.score_name``.
        found: What a model answered.

    Returns:
        Higher is better, float64 ``[n]``: whether the class is right, F1, the answer's probability; minus the
        loss where the score is of the whole set alone.
    """
    if score == "accuracy":
        right: Floats = (found.answers["predictions"] == found.answers["labels"]).astype(float)
        return right
    return found.answers[score] if score in found.answers else -found.losses


def shortfall(score: str, found: Outcomes) -> float:
    """How far answers are from perfect ones, as a mean.

    Args:
        score: The task's score, as ``Task.score_name``.
        found: What a model answered, n ≥ 1.

    Returns:
        One less the mean of :func:`goodness`, whose best is 1; the mean loss where that is minus the loss.
    """
    best = 1.0 if score == "accuracy" or score in found.answers else 0.0
    return best - float(goodness(score, found).mean())
