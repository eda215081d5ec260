"""How far the model is from retrained ones, and these from each other."""

from collections.abc import Iterator

from speu_cli.evaluation.definitions.definition import (
    CONFIDENCE,
    CORRELATION,
    HIGHER,
    LOWER,
    NATS,
    NO_BETTER,
    POINTS,
    POINTS_OF_CORRELATIONS,
    Better,
    Definition,
)
from speu_cli.evaluation.definitions.families.scores import OF_FORGOTTEN
from speu_cli.evaluation.definitions.kinds import CLASSES, FISHER, LANGUAGE, QUESTIONS, SETS, T_ABOVE

AGREEMENT = (
    Definition(
        "agreement.loss_rank.forget",
        "Spearman's rank correlation of the losses of model and retrained model",
        HIGHER,
        CORRELATION,
        FISHER,
    ),
    Definition(
        "agreement.confidence.forget",
        "mean absolute difference of the confidences of model and retrained model",
        LOWER,
        CONFIDENCE,
        T_ABOVE,
    ),
    Definition(
        f"agreement.kl.{SETS}",
        "mean KL divergence of the model's predictions from those of the retrained model",
        LOWER,
        NATS,
        T_ABOVE,
        (*CLASSES, *QUESTIONS, *LANGUAGE),
    ),
)


def _distances(head: str, meaning: str, average: str, better: Better) -> Iterator[Definition]:
    """Distances of what the average gap is made of."""
    places = "{unlearning,remaining,testing}"
    for score in OF_FORGOTTEN:
        name = score.pattern.removeprefix("unlearning_")
        unit = POINTS_OF_CORRELATIONS if score.unit == CORRELATION else POINTS
        yield Definition(f"{head}.{places}_{name}", meaning, better, unit, tasks=score.tasks)
    yield Definition(f"{head}.membership.member_fraction", meaning, better, POINTS)
    yield Definition(f"{head}.average", average, better, POINTS_OF_CORRELATIONS)


GAPS = tuple(
    _distances(
        "gap",
        "distance of the metric from that of the retrained model, of several from their mean",
        "mean of all gaps",
        LOWER,
    )
)
NOISE = tuple(
    _distances(
        "noise",
        "mean distance of the metric between two retrained models",
        "mean of the noise of all metrics that have a gap",
        NO_BETTER,
    )
)
