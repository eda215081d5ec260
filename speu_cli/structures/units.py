"""A group of units, and what each owns of the parameters."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from speu_cli.structures.entries import Axes

Kind = Literal["heads", "filters"]
KINDS: tuple[Kind, ...] = ("heads", "filters")
ROWS: Axes = (0,)
COLUMNS: Axes = (1,)


@dataclass(frozen=True)
class Slice:
    """Blocks of ``width`` entries along ``axes`` of a parameter; that of unit i is b = ``i // shared_by``.

    Block b begins at ``start + b·pitch``. Where there are ``runs``, the pitch holds within a run of blocks,
    and the next run begins further on: filters of an expert lie side by side, those of the next beyond its
    other half.

    Attributes:
        parameter: Name in the model.
        axes: 0 for rows, 1 for columns; of several the entries are counted together, the last axis fastest.
        width: Entries of a block along the axes.
        shared_by: Consecutive units with the same block: grouped-query attention.
        start: Where the first block begins.
        pitch: Entries from the beginning of a block to that of the next. Default: ``width``, side by side.
        runs: Blocks of a run, and entries from the beginning of a run to that of the next. Default: one run.
    """

    parameter: str
    axes: Axes
    width: int
    shared_by: int = 1
    start: int = 0
    pitch: int | None = None
    runs: tuple[int, int] | None = None

    def indices(self, units: Tensor, *, by_all: bool = False) -> Tensor:
        """Entries of these units along the axes, each once.

        Args:
            units: Numbers of units, ascending, int64.
            by_all: Of a shared block only if all its units are among them. Default: if any is.

        Returns:
            Their numbers, ascending, int64.
        """
        blocks, sharers = torch.unique_consecutive(units // self.shared_by, return_counts=True)
        if by_all:
            blocks = blocks[sharers == self.shared_by]
        return (self._starts(blocks)[:, None] + torch.arange(self.width)).flatten()

    def _starts(self, blocks: Tensor) -> Tensor:
        pitch = self.width if self.pitch is None else self.pitch
        if self.runs is None:
            return self.start + blocks * pitch
        in_run, jump = self.runs
        return self.start + blocks // in_run * jump + blocks % in_run * pitch


@dataclass(frozen=True)
class UnitGroup:
    """The units of one kind in one layer.

    Attributes:
        kind: Heads or filters.
        layer: Number of the layer, from 0.
        count: Number of units.
        slices: What each unit owns; the last is in the output projection.
        output: Module whose input the mask variables scale, ``width`` features a unit; None where no module
            has it, as among experts.
    """

    kind: Kind
    layer: int
    count: int
    slices: tuple[Slice, ...]
    output: str | None

    @property
    def key(self) -> str:
        """Name in files: ``heads/0``."""
        return f"{self.kind}/{self.layer}"

    @property
    def width(self) -> int:
        """Input features of the output projection that one unit feeds."""
        return self.slices[-1].width

    def sum_by_unit(self, products: Tensor) -> Tensor:
        """Sum what belongs to each unit in the output projection (∂ℓ/∂m, of W ⊙ ∂ℓ/∂W).

        Args:
            products: Of the shape of the output projection's weight.

        Returns:
            One number a unit, ``[count]``.
        """
        axes = self.slices[-1].axes
        others = [axis for axis in range(products.ndim) if axis not in axes]
        return products.sum(others).reshape(self.count, -1).sum(1)
