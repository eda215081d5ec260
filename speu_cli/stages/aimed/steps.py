"""The steps of a recipe that aims: gradients of single examples, a block of parameters at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from speu_cli.stages.aimed.aims import Aims
from speu_cli.stages.aimed.blocked_rows import BlockedRows
from speu_cli.stages.aimed.samples import Samples
from speu_cli.stages.session import Session
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.tasks.base import Loss
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.function_space import row_weights
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.second_order import inverse_curvature

FEW_BLOCKS = 4  # of more a user is told what makes the step faster


@dataclass(frozen=True)
class Taken:
    """Steps that were taken.

    Attributes:
        aims: Where the forget set should have ended, by the last.
        entries: Number of parameter entries that may have changed.
    """

    aims: Aims
    entries: int


@dataclass(frozen=True)
class Steps:
    """Steps on the slices of a mask.

    Attributes:
        session: The model; it is moved.
        samples: The forget set, and the examples that may be held.
        remaining: S(D_r).
        mask: Which units may change.
        recipe: How steps are made.
    """

    session: Session
    samples: Samples
    remaining: Statistics
    mask: Mask
    recipe: Recipe

    def take(self, aims: Aims, start: Floats, aims_at_present: Callable[[], Aims] | None = None) -> Taken:
        """Go to the targets step by step, with fresh gradients each time.

        Args:
            aims: Where the forget set should end.
            start: Margins of the examples that may be held, before any step.
            aims_at_present: Where it should end as unseen examples are known at present: asked by each step
                that settles. Default: the targets stay.

        Returns:
            What was done.
        """
        inverse = inverse_curvature(self.remaining, self.mask, damping=self.recipe.damping)
        margins = self.session.task.margins
        entries = 0
        for step in range(self.recipe.rounds):
            if step >= self.recipe.steps and aims_at_present is not None:
                aims = aims_at_present()
            goal = aims.of_moved.T.flatten()
            held = self.recipe.held_in(step, len(start))
            name = f"step {step + 1} of {self.recipe.rounds}"
            rows = BlockedRows(self.session, self.mask, self._moved(aims.moved, held), name)
            if step == 0 and rows.count > FEW_BLOCKS:
                self.session.runtime.progress.note(_slow(len(goal) + len(held), rows.count))
            products, losses = rows.gram(inverse)
            now = margins.of(losses)
            left = max(self.recipe.steps - step, 1)
            forget = (goal - now[: len(goal)]) / left
            lift = np.maximum(start[held] - now[len(goal) :], 0.0)  # where it has fallen
            wanted = torch.from_numpy(np.concatenate([forget, lift]))
            # The rows are gradients of losses: those of margins are dz/dℓ times as long.
            slopes = torch.from_numpy(margins.slopes(losses))
            of_margins = products * torch.outer(slopes, slopes)
            direction = rows.direction(inverse, slopes * row_weights(of_margins, wanted, self.recipe.ridge))
            direction.apply(self.session.checkpoint.model, 1.0)
            entries = direction.size
        return Taken(aims, entries)

    def _moved(self, losses: Sequence[Loss], held: Sequence[int]) -> list[tuple[Loss, Encoded]]:
        """The losses of the forget set that have targets, and after them ℓ of the held examples."""
        both, forgotten = self.samples.with_held(held), range(self.samples.forgotten)
        if len(losses) == 1:
            return [(losses[0], both)]
        forget, rest = both.select(forgotten), both.select(range(len(forgotten), len(both)))
        groups: list[tuple[Loss, Encoded]] = [(one, forget) for one in losses]
        return [*groups, (self.session.task, rest)] if len(rest) else groups


def _slow(count: int, blocks: int) -> str:
    """What to know of steps that are made in many passes."""
    return (
        f"{count} gradients of single examples do not fit into memory together: each step makes "
        f"{2 * blocks - 1} passes over them; a recipe that holds fewer, a mask of fewer units, or --recipe "
        "paper is faster"
    )
