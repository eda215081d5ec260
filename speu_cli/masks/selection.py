"""Selection: the most important units of each kind, ranked across all layers (Eq. 4, Eq. 8)."""

from collections.abc import Collection, Mapping
from fractions import Fraction

import torch
from torch import Tensor

from speu_cli.structures.layout import Kind, Layout
from speu_cli.structures.mask import KeyValue, Mask


def selected_count(units: int, sparsity: float) -> int:
    """Number of units to update: the largest k with k/|m| ≤ 1 − S, at least 1.

    Args:
        units: |m|.
        sparsity: S, the fraction frozen, in [0, 1).

    Returns:
        k.
    """
    # Of the decimal as written: in binary 1 − 0.9 is below 0.1, and a tenth of 40 units would be 3.
    return max(1, int((1 - Fraction(repr(float(sparsity)))) * units))


def select(
    scores: Mapping[str, Tensor],
    layout: Layout,
    kinds: Collection[Kind],
    sparsity: float,
    kv: KeyValue = "any",
) -> Mask:
    """Select the units with the highest scores.

    Args:
        scores: ``[units]`` by group.
        layout: The model's units.
        kinds: Kinds to select from; all units of others are frozen.
        sparsity: S, of each kind.
        kv: When what several heads share may change.

    Returns:
        The mask; equal scores are taken in order of layer and number.
    """
    mask = Mask.zeros(layout, kv)
    for kind in kinds:
        groups = layout.of_kind(kind)
        ranked = torch.cat([scores[group.key] for group in groups]).argsort(descending=True, stable=True)
        chosen = torch.zeros(len(ranked), dtype=torch.bool)
        chosen[ranked[: selected_count(len(ranked), sparsity)]] = True
        for group, part in zip(groups, chosen.split([group.count for group in groups]), strict=True):
            mask.selected[group.key].copy_(part)
    return mask
