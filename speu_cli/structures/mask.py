"""Which units may change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from speu_cli.structures.entries import Axes
from speu_cli.structures.layout import KINDS, Layout

KeyValue = Literal["any", "all"]


@dataclass(frozen=True)
class Mask:
    """Binary mask variables m: True = the unit is updated, False = frozen.

    Attributes:
        layout: The model's units.
        selected: For every group of the layout, bool ``[count]`` by key.
        kv: What several heads share, the rows of a key and value head, may change if ``any`` of them may, or
            only if ``all`` may.
        within: Which entries of the selected slices may change, by parameter: bool, in the shape of its
            slice of :meth:`slices`. Of a parameter that is not named, all of the slice; None: of all.
    """

    layout: Layout
    selected: Mapping[str, Tensor]
    kv: KeyValue = "any"
    within: Mapping[str, Tensor] | None = None

    @classmethod
    def ones(cls, layout: Layout) -> "Mask":
        """Every unit may change: turns SPE-SO into SO (Eq. 2)."""
        return cls(layout, {group.key: torch.ones(group.count, dtype=torch.bool) for group in layout})

    @classmethod
    def zeros(cls, layout: Layout, kv: KeyValue = "any") -> "Mask":
        """Every unit is frozen."""
        return cls(layout, {group.key: torch.zeros(group.count, dtype=torch.bool) for group in layout}, kv)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Selected and all units of each kind."""
        return {
            kind: (
                sum(int(self.selected[group.key].sum()) for group in self.layout.of_kind(kind)),
                self.layout.count(kind),
            )
            for kind in KINDS
        }

    def slices(self) -> Iterator[tuple[str, Axes, Tensor]]:
        """Parameter name, axes and entries along them of every parameter that may change.

        Yields:
            One parameter of which a selected unit owns a part; its entries ascending, each once, as
            :func:`speu_cli.structures.entries.take` takes them.
        """
        for name, (group, parts) in self.layout.parameters.items():
            units = self.selected[group.key].nonzero()[:, 0]
            if not len(units):
                continue
            of_parts = [part.indices(units, by_all=self.kv == "all") for part in parts]
            indices = of_parts[0] if len(parts) == 1 else torch.cat(of_parts).unique()
            if len(indices):
                yield name, parts[0].axes, indices

    def entries(self, name: str) -> Tensor | None:
        """Which entries of a parameter's slice may change, bool in the slice's shape; None: all of them."""
        return None if self.within is None else self.within.get(name)
