"""The statistics pass of speu on the slices of a mask, as ``speu fisher --mask`` runs it."""

from typing import ClassVar

import torch
from subjects import Fisher, Subject

from peers.speu import Speu
from speu_cli.masks.selection import select
from speu_cli.statistics.wanted import Part, Wanted, wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.layout import KINDS

SPARSITY = 0.9


class SpeuMasked(Speu):
    """F and g of a tenth of the heads and a tenth of the filters, drawn at random."""

    name: ClassVar[str] = "speu --mask"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        draw = torch.Generator().manual_seed(0)
        scores = {group.key: torch.rand(group.count, generator=draw) for group in subject.layout}
        self._parts = wanted_slices(select(scores, subject.layout, KINDS, SPARSITY))
        self.wanted = Wanted(self._parts, mask_statistics=False)

    def share(self, fisher: Fisher) -> Fisher:
        """The selected slices."""
        return {name: _cut(fisher[name], part) for name, part in self._parts.items()}


def _cut(tensor: torch.Tensor, part: Part | None) -> torch.Tensor:
    return tensor if part is None else take(tensor, part.axes, part.indices)
