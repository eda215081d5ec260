"""Rearrangement: swaps within a layer that lower the block-diagonal objective (Eq. 9).

For the frozen units Z of one kind in one layer: f(Z) = Σ_{i∈Z} u[i] + ½·c·Σ_{i,k∈Z} B[i,k], with u the
mask gradients of the forget set and B the mask Fisher of the remaining set.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.structures.mask import Mask

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# A swap must lower f by more than this share of f's size: less is rounding, and could go on for ever.
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Rearranged:
    """A rearranged mask.

    Attributes:
        mask: As many units selected in each layer and kind as before.
        before: f of the given mask, summed over layers and kinds.
        after: f of this one, never above ``before``.
        swaps: Number of swaps made.
    """

    mask: Mask
    before: float
    after: float
    swaps: int


def rearrange(
    mask: Mask, u: Mapping[str, Tensor], B: Mapping[str, Tensor], c: float, *, rounds: int | None = None
) -> Rearranged:
    """Swap selected for frozen units, layer by layer and kind by kind, while f falls (Eq. 9).

    Args:
        mask: The selection to start from.
        u: ``[units]`` by group.
        B: ``[units, units]`` by group.
        c: Factor of B.
        rounds: Most rounds over the selected units; 1 is the paper's setting, 0 leaves the mask as it is.
            Default: until no swap helps.

    Returns:
        The rearranged mask with f before and after.
    """
    result = Mask.zeros(mask.layout)
    before = after = 0.0
    swaps = 0
    for key, selected in mask.selected.items():
        layer = _Layer(u[key].double().numpy(), c * B[key].double().numpy(), ~selected.numpy())
        before += layer.objective()
        if selected.any():
            swaps += layer.swap_until_settled(rounds)
        after += layer.objective()
        result.selected[key].copy_(torch.from_numpy(~layer.frozen))
    return Rearranged(result, before, after, swaps)


class _Layer:
    """One layer's units of one kind: u ``[units]``, c·B ``[units, units]`` and the frozen set Z."""

    def __init__(self, u: Vector, B: Vector, frozen: Flags) -> None:
        self.u, self.B, self.frozen = u, B, frozen.copy()
        self.v = B @ frozen

    def objective(self) -> float:
        """f(Z)."""
        return float(self.u[self.frozen].sum() + 0.5 * self.v[self.frozen].sum())

    def swap_until_settled(self, rounds: int | None) -> int:
        """Go round the selected units until a round changes nothing; returns the number of swaps."""
        total = done = 0
        while rounds is None or done < rounds:
            swaps = self._round()
            total, done = total + swaps, done + 1
            if not swaps:
                break
        return total

    def _round(self) -> int:
        """Freeze each selected unit in ascending importance, and release the one whose release pays most."""
        selected = np.flatnonzero(~self.frozen)
        importance = self.u[selected] + 0.5 * self.B.diagonal()[selected]
        return sum(self._swap(int(i)) for i in selected[np.argsort(importance, kind="stable")])

    def _swap(self, i: int) -> bool:
        """Freeze i, release the best k of Z ∪ {i}; True if f fell."""
        half = 0.5 * self.B.diagonal()
        frozen_v = self.v + self.B[:, i]
        candidates = np.flatnonzero(self.frozen)
        if not len(candidates):
            return False
        freeze = self.u[i] + self.v[i] + half[i]
        release = -self.u[candidates] - frozen_v[candidates] + half[candidates]
        best = int(release.argmin())
        size = abs(freeze) + abs(release[best])
        if freeze + release[best] >= -TOLERANCE * size:
            return False
        k = int(candidates[best])
        self.frozen[i], self.frozen[k] = True, False
        self.v = frozen_v - self.B[:, k]
        return True
