"""The steps of a recipe that aims: gradients of single examples, a block of parameters at a time."""

from dataclasses import dataclass

import numpy as np
import torch

from speu_cli.stages.aimed.blocked_rows import BlockedRows
from speu_cli.stages.aimed.samples import Samples
from speu_cli.stages.session import Session
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.function_space import row_weights
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.second_order import inverse_curvature

FEW_BLOCKS = 4  # of more a user is told what makes the step faster


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

    def take(self, aims: Floats) -> int:
        """Go to the targets step by step, with fresh gradients each time.

        Args:
            aims: Margins that the forget set should have, ``[n_f]``.

        Returns:
            Number of parameter entries that may change.
        """
        inverse = inverse_curvature(self.remaining, self.mask, damping=self.recipe.damping)
        margins, pool = self.session.task.margins, self.samples.may_be_held(self.recipe.drawn)
        start = margins.of(self.session.losses(pool, "losses of what is held"))
        entries = 0
        for step in range(self.recipe.rounds):
            held = self.recipe.held_in(step, len(start))
            moved = self.samples.with_held(held)
            name = f"step {step + 1} of {self.recipe.rounds}"
            rows = BlockedRows(self.session, self.mask, moved, name)
            if step == 0 and rows.count > FEW_BLOCKS:
                self.session.runtime.progress.note(_slow(len(moved), rows.count))
            products, losses = rows.gram(inverse)
            now = margins.of(losses)
            left = max(self.recipe.steps - step, 1)
            forget = (aims - now[: len(aims)]) / left
            lift = np.maximum(start[held] - now[len(aims) :], 0.0)  # where it has fallen
            wanted = torch.from_numpy(np.concatenate([forget, lift]))
            # The rows are gradients of losses: those of margins are dz/dℓ times as long.
            slopes = torch.from_numpy(margins.slopes(losses))
            of_margins = products * torch.outer(slopes, slopes)
            direction = rows.direction(inverse, slopes * row_weights(of_margins, wanted, self.recipe.ridge))
            direction.apply(self.session.checkpoint.model, 1.0)
            entries = direction.size
        return entries


def _slow(examples: int, blocks: int) -> str:
    """What to know of steps that are made in many passes."""
    return (
        f"the gradients of {examples} examples do not fit into memory together: each step makes "
        f"{2 * blocks - 1} passes over them; a recipe that holds fewer, a mask of fewer units, or --recipe "
        "paper is faster"
    )
