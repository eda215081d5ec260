"""The step in function space as the least of its quadratic, with every matrix written out, in float64."""

import torch
from torch import Tensor


def least_step(rows: Tensor, wanted: Tensor, curvature: Tensor, softness: float) -> Tensor:
    """d that makes ½ dᵀPd + Σ_x (r_x·d − t_x)² / 2ρ least: (P + RᵀR/ρ) d = Rᵀt/ρ.

    Args:
        rows: R, ``[n, entries]``.
        wanted: t, ``[n]``.
        curvature: The diagonal of P, ``[entries]``; > 0.
        softness: ρ.

    Returns:
        d, ``[entries]``.
    """
    matrix = torch.diag(curvature) + rows.T @ rows / softness
    step: Tensor = torch.linalg.solve(matrix, rows.T @ wanted / softness)
    return step
