"""Where each forgotten example should end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.aimed.dropout import margins_with_dropout
from speu_cli.stages.request import ForgetSet
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.tasks.base import Loss
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.strata import Ints, strata_of
from speu_cli.unlearning.targets import Known, unseen_margins, unseen_terms

Bools = npt.NDArray[np.bool_]


def require_losses(file: StatisticsFile, recipe: Recipe) -> None:
    """Refuse statistics that no targets can be found by.

    Args:
        file: The statistics.
        recipe: For messages.

    Raises:
        InputError: What unseen examples look like is not known.
        ArtifactError: What the training examples look like is not known.
    """
    if not len(file.holdout_losses):
        raise InputError(
            f"recipe {recipe.name} gives each example a target of its own, by those of unseen examples, and "
            "the statistics know none",
            hint="compute them with 'speu fisher --holdout', or give --target-loss, for recipe paper",
        )
    if file.losses is None:
        raise ArtifactError(
            "the statistics are of an older version, without the losses of the training examples that recipe "
            f"{recipe.name} needs",
            hint="compute them again with 'speu fisher', or take --recipe paper",
        )


@dataclass(frozen=True)
class Aims:
    """Where forgotten examples should end.

    Attributes:
        margins: That each should have, ``[n_f]``.
        moved: The losses that are moved: ℓ, or its terms, of which each has a target of its own.
        of_moved: Their margins, ``[n_f, moved]``.
    """

    margins: Floats
    moved: Sequence[Loss]
    of_moved: Floats

    @classmethod
    def of_whole(cls, task: Loss, margins: Floats) -> "Aims":
        """A target for ℓ alone."""
        return cls(margins, [task], margins[:, None])


def aims_of(session: Session, file: StatisticsFile, forget: ForgetSet, dropout_passes: int = 0) -> Aims:
    """What each forgotten example should be known like.

    Args:
        session: The model.
        file: Statistics with the losses of training and held-out examples.
        forget: The forget set.
        dropout_passes: By how many passes with dropout it is put in order; 0: by the margins as they are.

    Returns:
        The targets; by terms where the loss has some, and the statistics tell those of unseen examples.

    Raises:
        ArtifactError: They tell another number of terms.
    """
    task, stays = session.task, np.ones(len(file.rows), dtype=np.bool_)
    margins, lowest = task.margins, task.margins.lowest(session.checkpoint.model.config)
    stays[forget.training.positions(forget.encoded.ids)] = False
    of_training = np.zeros(0) if file.losses is None else file.losses[stays[file.used]]
    of_known, of_unseen, of_forgotten = _strata(session, file, forget, stays[file.used])
    now, known = Known(margins.of(forget.losses), of_forgotten), Known(margins.of(of_training), of_known)
    unseen = Known(margins.of(file.holdout_losses), of_unseen)
    order = margins_with_dropout(session, forget.encoded, dropout_passes)
    aims = unseen_margins(now, known, unseen, lowest, now.margins if order is None else order)
    if not task.terms or file.holdout_terms is None:
        return Aims.of_whole(task, aims)
    if file.holdout_terms.shape[1] != len(task.terms):
        raise ArtifactError(
            f"the statistics have {file.holdout_terms.shape[1]} terms of each held-out loss, expected "
            f"{len(task.terms)}",
            hint="compute them again with 'speu fisher'",
        )
    terms = session.several_losses(task.terms, forget.encoded, "forget losses")
    each = unseen_terms(aims, now, margins.of(terms), unseen, margins.of(file.holdout_terms), lowest)
    return Aims(aims, task.terms, each)


def _strata(session: Session, file: StatisticsFile, forget: ForgetSet, stays: Bools) -> list[Ints]:
    """The strata of training, held-out and forgotten examples: one for all where the file does not tell."""
    if file.strata is None or file.holdout_strata is None:
        counts = int(stays.sum()), len(file.holdout_losses), len(forget.encoded)
        return [np.zeros(count, dtype=np.int64) for count in counts]
    of_forgotten = session.task.strata(forget.encoded).numpy()
    return strata_of(file.strata[stays], (file.holdout_strata, of_forgotten))
