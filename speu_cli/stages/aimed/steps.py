"""The steps of a recipe that aims: gradients of single examples, a block of parameters at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speu_cli.stages.aimed.samples import Samples
from speu_cli.stages.session import Session
from speu_cli.statistics.example_rows import ExampleRows, example_rows
from speu_cli.statistics.running import shape_of
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.function_space import gram, row_direction, row_weights
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.second_order import Direction, inverse_curvature

FLOAT32 = 4
# Of rows at once. Not of what is free: how sums are split would change their last bits from run to run.
MOST_BYTES = 2**31
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
        of, pool = self.session.task.margins.of, self.samples.may_be_held(self.recipe.drawn)
        start = of(self.session.losses(pool, "losses of what is held"))
        entries = 0
        for step in range(self.recipe.rounds):
            held = self.recipe.held_in(step, len(start))
            moved = self.samples.with_held(held)
            blocks = list(self._blocks(len(moved)))
            if step == 0 and len(blocks) > FEW_BLOCKS:
                self.session.runtime.progress.note(_slow(len(moved), len(blocks)))
            found = self._rows(moved, blocks[0], step)
            now = of(found.losses.numpy())
            left = max(self.recipe.steps - step, 1)
            forget = (aims - now[: len(aims)]) / left
            lift = np.maximum(start[held] - now[len(aims) :], 0.0)  # where it has fallen
            wanted = torch.from_numpy(np.concatenate([forget, lift]))
            direction = self._direction(moved, blocks, found, inverse, wanted)
            direction.apply(self.session.checkpoint.model, 1.0)
            entries = direction.size
        return entries

    def _direction(
        self,
        moved: Encoded,
        blocks: Sequence[dict[str, Part]],
        first: ExampleRows,
        inverse: dict[str, Tensor],
        wanted: Tensor,
    ) -> Direction:
        """The step, from the rows of one block of parameters at a time."""
        slopes = torch.from_numpy(self.session.task.margins.slopes(first.losses.numpy()))
        products = gram(first.gradients, inverse)
        for block in blocks[1:]:
            products = products + gram(self._rows(moved, block).gradients, inverse)
        # The rows are gradients of losses: those of margins are dz/dℓ times as long.
        weights = slopes * row_weights(products * torch.outer(slopes, slopes), wanted, self.recipe.ridge)
        steps = row_direction(first.gradients, inverse, weights, self.mask).steps
        for block in blocks[1:]:
            rows = self._rows(moved, block).gradients
            steps = steps | row_direction(rows, inverse, weights, self.mask).steps
        return Direction(steps)

    def _rows(self, moved: Encoded, block: dict[str, Part], step: int | None = None) -> ExampleRows:
        """Gradients of examples on some of the slices."""
        session = self.session
        return example_rows(
            session.checkpoint.model,
            session.layout,
            session.task,
            moved,
            block,
            batch_tokens=session.runtime.batch_tokens,
            progress=session.runtime.progress,
            description="gradients" if step is None else f"step {step + 1} of {self.recipe.rounds}",
        )

    def _blocks(self, count: int) -> Iterator[dict[str, Part]]:
        """Parameters of which so many rows fit in memory together; each block costs two passes more."""
        model, block, filled = self.session.checkpoint.model, dict[str, Part](), 0
        for name, axes, indices in self.mask.slices():
            parameter = model.get_parameter(name)
            size = FLOAT32 * count * shape_of(parameter, Part(axes, indices)).numel()
            if block and filled + size > MOST_BYTES:
                yield block
                block, filled = {}, 0
            block[name] = Part(axes, indices)
            filled += size
        yield block


def _slow(examples: int, blocks: int) -> str:
    """What to know of steps that are made in many passes."""
    return (
        f"the gradients of {examples} examples do not fit into memory together: each step makes "
        f"{2 * blocks - 1} passes over them; a recipe that holds fewer, a mask of fewer units, or --recipe "
        "paper is faster"
    )
