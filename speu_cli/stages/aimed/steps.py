"""The steps of a recipe that aims: gradients of single examples, a block of parameters at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Steps:
    """Steps on the slices of a mask.

    Attributes:
        session: The model; it is moved.
        encoded: The forget set, and after it the examples that are held.
        remaining: S(D_r).
        mask: Which units may change.
        recipe: How steps are made.
    """

    session: Session
    encoded: Encoded
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
        blocks = list(self._blocks())
        start: Floats | None = None
        entries = 0
        for step in range(self.recipe.steps):
            found = self._rows(blocks[0], step)
            margins = self.session.task.margins.of(found.losses.numpy())
            start = margins if start is None else start
            wanted = np.maximum(start - margins, 0.0)  # what is held is lifted where it has fallen
            wanted[: len(aims)] = (aims - margins[: len(aims)]) / (self.recipe.steps - step)
            direction = self._direction(blocks, found, inverse, torch.from_numpy(wanted))
            direction.apply(self.session.checkpoint.model, 1.0)
            entries = direction.size
        return entries

    def _direction(
        self,
        blocks: Sequence[dict[str, Part]],
        first: ExampleRows,
        inverse: dict[str, Tensor],
        wanted: Tensor,
    ) -> Direction:
        """The step, from the rows of one block of parameters at a time."""
        slopes = torch.from_numpy(self.session.task.margins.slopes(first.losses.numpy()))
        products = gram(first.gradients, inverse)
        for block in blocks[1:]:
            products = products + gram(self._rows(block).gradients, inverse)
        # The rows are gradients of losses: those of margins are dz/dℓ times as long.
        weights = slopes * row_weights(products * torch.outer(slopes, slopes), wanted, self.recipe.ridge)
        steps = row_direction(first.gradients, inverse, weights, self.mask).steps
        for block in blocks[1:]:
            rows = self._rows(block).gradients
            steps = steps | row_direction(rows, inverse, weights, self.mask).steps
        return Direction(steps)

    def _rows(self, block: dict[str, Part], step: int | None = None) -> ExampleRows:
        """Gradients of all examples on some of the slices."""
        session = self.session
        return example_rows(
            session.checkpoint.model,
            session.layout,
            session.task,
            self.encoded,
            block,
            batch_tokens=session.runtime.batch_tokens,
            progress=session.runtime.progress,
            description="gradients" if step is None else f"step {step + 1} of {self.recipe.steps}",
        )

    def _blocks(self) -> Iterator[dict[str, Part]]:
        """Parameters whose rows fit in memory together; each block costs two passes more."""
        model, block, filled = self.session.checkpoint.model, dict[str, Part](), 0
        for name, axes, indices in self.mask.slices():
            parameter = model.get_parameter(name)
            size = FLOAT32 * len(self.encoded) * shape_of(parameter, Part(axes, indices)).numel()
            if block and filled + size > MOST_BYTES:
                yield block
                block, filled = {}, 0
            block[name] = Part(axes, indices)
            filled += size
        yield block
