"""How much each unit matters for forgetting (Eq. 8 and Eq. 13)."""

from typing import Literal

from torch import Tensor

from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.validity import diagonal_of

Curvature = Literal["total", "mean"]


def curvature_scale(curvature: Curvature, remaining: int) -> float:
    """The factor c of B_r in Eq. 8.

    Args:
        curvature: ``total`` takes the Hessian of the summed loss of Eq. 1, ``mean`` Î of Eq. 3 as it stands.
        remaining: n_r.

    Returns:
        1 or 1/n_r.
    """
    return {"total": 1.0, "mean": 1.0 / remaining}[curvature]


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
