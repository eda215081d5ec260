"""How much each unit matters for forgetting (Eq. 8, Eq. 13, Eq. 18 and NORM)."""

from typing import Literal

import torch
from torch import Tensor

from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.validity import diagonal_of
from speu_cli.structures.entries import take
from speu_cli.structures.layout import Layout, Slice, UnitGroup

Curvature = Literal["total", "mean"]


def curvature_scale(curvature: Curvature, examples: int) -> float:
    """The factor c of B in Eq. 8 and Eq. 18.

    Args:
        curvature: ``total`` takes the Hessian of the summed loss of Eq. 1, ``mean`` Î of Eq. 3 as it stands.
        examples: n of the set that B is of: n_r in Eq. 8, n_f in Eq. 18.

    Returns:
        1 or 1/n.
    """
    return {"total": 1.0, "mean": 1.0 / examples}[curvature]


def importance(forget: Statistics, remaining: Statistics, c: float) -> dict[str, Tensor]:
    """Importance of every unit (Eq. 8): s_i = u_f[i] + ½·c·B_r[i,i].

    Args:
        forget: S(D_f).
        remaining: S(D_r).
        c: From :func:`curvature_scale`.

    Returns:
        Scores ``[units]`` by group, higher = rather updated.
    """
    return {
        key: forget.mask_gradient[key] + 0.5 * c * diagonal_of(remaining.mask_fisher[key])
        for key in remaining.mask_fisher
    }


def warm_start_importance(full: Statistics) -> dict[str, Tensor]:
    """Importance before any request is known (Eq. 13): B_D[i,i].

    Args:
        full: S(D).

    Returns:
        Scores ``[units]`` by group, higher = rather updated.
    """
    return {key: diagonal_of(block).clone() for key, block in full.mask_fisher.items()}


def forget_loss_importance(forget: Statistics, remaining: Statistics, c: float) -> dict[str, Tensor]:
    """Importance for the forget loss (MLF, Eq. 18): s_i = u_r[i] + ½·c·B_f[i,i].

    Args:
        forget: S(D_f).
        remaining: S(D_r).
        c: From :func:`curvature_scale`.

    Returns:
        Scores ``[units]`` by group, higher = rather updated.
    """
    return {
        key: remaining.mask_gradient[key] + 0.5 * c * diagonal_of(block)
        for key, block in forget.mask_fisher.items()
    }


def gradient_norms(forget: Statistics, layout: Layout) -> dict[str, Tensor]:
    """Importance by the gradient alone (NORM): s_i = ‖g_f‖₂ over all slices of unit i.

    Args:
        forget: S(D_f); only g of whole parameters is used.
        layout: The model's units.

    Returns:
        Scores ``[units]`` by group, higher = rather updated. What several units share counts for each.
    """
    return {
        group.key: torch.stack(
            [_squared_norms(forget.gradient[part.parameter], group, part) for part in group.slices]
        )
        .sum(0)
        .sqrt()
        for group in layout
    }


def _squared_norms(gradient: Tensor, group: UnitGroup, part: Slice) -> Tensor:
    """Σ g² over the slice of each unit of a group, ``[units]``."""
    blocks = part.indices(torch.arange(0, group.count, part.shared_by))
    squares = take(gradient, part.axes, blocks).square().movedim(part.axes[0], 0)
    return squares.reshape(group.count // part.shared_by, -1).sum(1).repeat_interleave(part.shared_by)
