"""Which units may change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from speu_cli.structures.layout import KINDS, Layout


@dataclass(frozen=True)
class Mask:
    """Binary mask variables m: True = the unit is updated, False = frozen.

    Attributes:
        layout: The model's units.
        selected: For every group of the layout, bool ``[count]`` by key.
        within: Which entries of the selected slices may change, by parameter: bool, in the shape of its
            slice of :meth:`slices`. Of a parameter that is not named, all of the slice; None: of all.
    """

    layout: Layout
    selected: Mapping[str, Tensor]
    within: Mapping[str, Tensor] | None = None

    @classmethod
    def ones(cls, layout: Layout) -> "Mask":
        """Every unit may change: turns SPE-SO into SO (Eq. 2)."""
        return cls(layout, {group.key: torch.ones(group.count, dtype=torch.bool) for group in layout})

    @classmethod
    def zeros(cls, layout: Layout) -> "Mask":
        """Every unit is frozen."""
        return cls(layout, {group.key: torch.zeros(group.count, dtype=torch.bool) for group in layout})

    def counts(self) -> dict[str, tuple[int, int]]:
        """Selected and all units of each kind."""
        return {
            kind: (
                sum(int(self.selected[group.key].sum()) for group in self.layout.of_kind(kind)),
                self.layout.count(kind),
            )
            for kind in KINDS
        }

    def slices(self) -> Iterator[tuple[str, int, Tensor]]:
        """Parameter name, axis and indices (ascending, each once) of every parameter that may change.

        What several units share may change if any of them may.

        Yields:
            One parameter of which a selected unit owns a part.
        """
        for name, (group, part) in self.layout.parameters.items():
            units = self.selected[group.key].nonzero()[:, 0]
            if len(units):
                yield name, part.axis, part.indices(units)

    def entries(self, name: str) -> Tensor | None:
        """Which entries of a parameter's slice may change, bool in the slice's shape; None: all of them."""
        return None if self.within is None else self.within.get(name)
