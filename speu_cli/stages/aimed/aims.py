"""Where each forgotten example should end."""

from collections.abc import Sequence
from dataclasses import dataclass

from speu_cli.errors import ArtifactError, InputError
from speu_cli.statistics.files import StatisticsFile
from speu_cli.tasks.base import Loss
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.recipes.recipe import Recipe


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

    def of(self, way: Recipe, task: Loss) -> "Aims":
        """As a way of a recipe moves them: by terms, or ℓ alone."""
        return self if way.terms else Aims.of_whole(task, self.margins)
