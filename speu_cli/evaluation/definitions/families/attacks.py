"""Metrics of a model under attack."""

from collections.abc import Iterator
from dataclasses import replace

from speu_cli.evaluation.definitions.definition import CLOSER, FALL, HIGHER, STEPS, Definition
from speu_cli.evaluation.definitions.families.membership import AUC
from speu_cli.evaluation.definitions.families.scores import FORGET_LOSS, OF_FORGOTTEN, SCORES
from speu_cli.evaluation.definitions.kinds import T


def _attacks() -> Iterator[Definition]:
    """Metrics of before under an attack, and those of relearning alone."""
    of_forgotten = (*OF_FORGOTTEN, FORGET_LOSS)
    attacks = (
        ("{int8,int4}", "with rounded weights", (*SCORES, FORGET_LOSS, AUC)),
        ("paraphrase", "in other words", of_forgotten),
        ("relearn", "those held back, after the last step of relearning the others", of_forgotten),
    )
    for attack, how, found in attacks:
        for one in found:
            yield replace(one, pattern=f"attack.{attack}.{one.pattern}", meaning=f"{how}: {one.meaning}")
    yield Definition(
        "attack.relearn.loss.fall",
        "how far the loss of a forgotten example that was held back fell in these steps, in the mean",
        CLOSER,
        FALL,
        T,
    )
    yield Definition(
        "attack.relearn.steps",
        "steps of relearning that the model withstands before half of what was forgotten is back",
        HIGHER,
        STEPS,
    )


ATTACKS = tuple(_attacks())
