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
