"""Rearrangement: swaps within a layer that better the block-diagonal objective (Eq. 9, Eq. 19).

For units Z of one kind in one layer: f(Z) = Σ_{i∈Z} u[i] + ½·c·Σ_{i,k∈Z} B[i,k]. Eq. 9 lowers f of the
frozen units, with u the mask gradients of the forget set and B the mask Fisher of the remaining set; Eq. 19
raises f of the selected units, with u of the remaining and B of the forget set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.masks.mask_fisher import Indices, MaskFisher, Vector, mask_fisher
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask

Flags = npt.NDArray[np.bool_]

# A swap must lower f by more than this share of f's size: less is rounding, and could go on for ever.
TOLERANCE = 1e-12
# Columns of B made at a time: of a sampled B many at once cost little more than one.
COLUMNS = 64


@dataclass(frozen=True)
class Rearranged:
    """A rearranged mask.

    Attributes:
        mask: As many units selected in each layer and kind as before.
        before: f of the given mask, summed over layers and kinds.
        after: f of this one, never worse than ``before``.
        swaps: Number of swaps made.
    """

    mask: Mask
    before: float
    after: float
    swaps: int


def rearrange(
    mask: Mask, u: Mapping[str, Tensor], curvature: Statistics, c: float, *, rounds: int | None = None
) -> Rearranged:
    """Swap selected for frozen units, layer by layer and kind by kind, while f falls (Eq. 9).

    Args:
        mask: The selection to start from.
        u: ``[units]`` by group.
        curvature: Has B of every group, whole or as a sample.
        c: Factor of B.
        rounds: Most rounds over the selected units; 1 is the paper's setting, 0 leaves the mask as it is.
            Default: until no swap helps.

    Returns:
        The rearranged mask with f before and after.
    """
    result = Mask.zeros(mask.layout, mask.kv)
    before = after = 0.0
    swaps = 0
    for key, selected in mask.selected.items():
        layer = _Layer(u[key].double().numpy(), mask_fisher(curvature, key), c, ~selected.numpy())
        before += layer.objective()
        if selected.any():
            swaps += layer.swap_until_settled(rounds)
        after += layer.objective()
        result.selected[key].copy_(torch.from_numpy(~layer.frozen))
    return Rearranged(result, before, after, swaps)


def rearrange_selected(
    mask: Mask, u: Mapping[str, Tensor], curvature: Statistics, c: float, *, rounds: int | None = None
) -> Rearranged:
    """Swap frozen for selected units, layer by layer and kind by kind, while f of these rises (Eq. 19).

    Args:
        mask: The selection to start from.
        u: ``[units]`` by group.
        curvature: Has B of every group, whole or as a sample.
        c: Factor of B.
        rounds: Most rounds over the frozen units, in descending importance. Default: until no swap helps.

    Returns:
        The rearranged mask with f before and after.
    """
    # What raises f of the selected units lowers −f of them: Eq. 9 with both sets in each other's place.
    lowered = {key: -one for key, one in u.items()}
    found = rearrange(_opposite(mask), lowered, curvature, -c, rounds=rounds)
    return Rearranged(_opposite(found.mask), 0.0 - found.before, 0.0 - found.after, found.swaps)


def _opposite(mask: Mask) -> Mask:
    return replace(mask, selected={key: ~flags for key, flags in mask.selected.items()})


class _Layer:
    """One layer's units of one kind: u ``[units]``, B ``[units, units]``, c and the frozen set Z."""

    def __init__(self, u: Vector, B: MaskFisher, c: float, frozen: Flags) -> None:
        self.u, self.B, self.c, self.frozen = u, B, c, frozen.copy()
        self.half = 0.5 * c * B.diagonal
        self.v = c * B.times(frozen.astype(np.float64))

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
        order = selected[np.argsort(self.u[selected] + self.half[selected], kind="stable")]
        swaps = 0
        for start in range(0, len(order), COLUMNS):
            units = order[start : start + COLUMNS]
            swaps += sum(map(self._swap, units.tolist(), self._columns(units)))
        return swaps

    def _columns(self, units: Indices) -> Vector:
        return self.c * self.B.columns(units)

    def _swap(self, i: int, column: Vector) -> bool:
        """Freeze i, whose column of c·B this is, and release the best k of Z ∪ {i}; True if f fell."""
        frozen_v = self.v + column
        candidates = np.flatnonzero(self.frozen)
        if not len(candidates):
            return False
        freeze = self.u[i] + self.v[i] + self.half[i]
        release = -self.u[candidates] - frozen_v[candidates] + self.half[candidates]
        best = int(release.argmin())
        size = abs(freeze) + abs(release[best])
        if freeze + release[best] >= -TOLERANCE * size:
            return False
        k = int(candidates[best])
        self.frozen[i], self.frozen[k] = True, False
        self.v = frozen_v - self._columns(np.array([k]))[0]
        return True
