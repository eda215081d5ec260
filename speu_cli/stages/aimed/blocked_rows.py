"""Gradients of single examples, one block of parameters in memory at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from speu_cli.stages.session import Session
from speu_cli.statistics.calibration import total_memory
from speu_cli.statistics.example_rows import ExampleRows, example_rows
from speu_cli.statistics.running import shape_of
from speu_cli.statistics.wanted import Part
from speu_cli.structures.mask import Mask
from speu_cli.tasks.base import Loss
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.function_space import gram, row_direction
from speu_cli.unlearning.second_order import Direction, SliceStep

FLOAT32 = 4
# Of a device's memory, and at most. Not of what is free: how sums are split would change their last bits.
SHARE, MOST_BYTES = 1 / 4, 2**34


class BlockedRows:
    """∂ℓ/∂θ of losses of examples on the slices of a mask.

    They are computed block by block, and again for the direction but for the last: B blocks take 2·B − 1
    passes over the examples.

    Args:
        session: The model.
        mask: Which units may change.
        moved: Which losses, and of which examples: their rows follow each other.
        description: What the progress is called.

    Attributes:
        count: Number of blocks.
    """

    def __init__(
        self, session: Session, mask: Mask, moved: Sequence[tuple[Loss, Encoded]], description: str
    ) -> None:
        self._session, self._mask, self._moved, self._description = session, mask, moved, description
        self._blocks = list(self._split())
        self._kept: dict[str, Tensor] | None = None  # the rows of the last block
        self.count = len(self._blocks)

    def gram(self, inverse: dict[str, Tensor]) -> tuple[Tensor, Floats]:
        """R P⁻¹ Rᵀ of these rows, and their losses.

        Args:
            inverse: The diagonal of P⁻¹, by parameter.

        Returns:
            float64 ``[n, n]``, and float64 ``[n]``.
        """
        products = torch.zeros(1, 1, dtype=torch.float64)
        losses = torch.zeros(0, dtype=torch.float64)
        for block in self._blocks:
            self._kept = None  # or two blocks would be in memory while the next is made
            self._kept, losses = self._rows(block)
            products = products + gram(self._kept, inverse)
        return products, losses.numpy()

    def direction(self, inverse: dict[str, Tensor], weights: Tensor) -> Direction:
        """P⁻¹ Rᵀ α, after :meth:`gram`.

        Args:
            inverse: As there.
            weights: α, float64 ``[n]``.

        Returns:
            The direction.
        """
        steps: dict[str, SliceStep] = {}
        for block in reversed(self._blocks):
            rows, self._kept = self._kept or self._rows(block)[0], None
            steps |= row_direction(rows, inverse, weights, self._mask).steps
            del rows
        return Direction(steps)

    def _rows(self, block: dict[str, Part]) -> tuple[dict[str, Tensor], Tensor]:
        found = [self._rows_of(loss, encoded, block) for loss, encoded in self._moved]
        losses = torch.cat([one.losses for one in found])
        if len(found) == 1:
            return found[0].gradients, losses
        # One parameter after the other, or all rows would be in memory twice.
        return {name: torch.cat([one.gradients.pop(name) for one in found]) for name in block}, losses

    def _rows_of(self, loss: Loss, encoded: Encoded, block: dict[str, Part]) -> ExampleRows:
        session = self._session
        return example_rows(
            session.checkpoint.model,
            session.layout,
            loss,
            encoded,
            block,
            batch_tokens=session.runtime.batch_tokens,
            progress=session.runtime.progress,
            description=self._description,
        )

    def _split(self) -> Iterator[dict[str, Part]]:
        """Parameters of which the rows fit in memory together."""
        model, block, filled = self._session.checkpoint.model, dict[str, Part](), 0
        count = sum(len(encoded) for _, encoded in self._moved)
        room = min(SHARE * total_memory(model.device), MOST_BYTES)
        for name, axes, indices in self._mask.slices():
            part = Part(axes, indices)
            size = FLOAT32 * count * shape_of(model.get_parameter(name), part).numel()
            if block and filled + size > room:
                yield block
                block, filled = {}, 0
            block[name] = part
            filled += size
        yield block
