"""A step in function space: the smallest move of the weights that moves each example as far as it should.

Each row r_x is the gradient of an example's margin z on the selected slices, and t_x how far z should move; 0
for an example that should stay. With P the damped curvature of the remaining set (the denominator of Eq. 10)
the step d makes ½ dᵀPd + Σ_x (r_x·d − t_x)² / 2ρ least:

    d = P⁻¹ Rᵀ α,    (R P⁻¹ Rᵀ + ρ·I) α = t.

Eq. 10 adds the forget gradients as they come, so that a few examples with large ones make the step. Here each
example gets the weight α_x that takes it to its own target, with what the others do to it taken into account.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from speu_cli.structures.mask import Mask
from speu_cli.unlearning.second_order import Direction, SliceStep

Tensors = Mapping[str, Tensor]


def gram(rows: Tensors, inverse: Tensors) -> Tensor:
    """R P⁻¹ Rᵀ over some parameters.

    Args:
        rows: By parameter, ``[n, entries]``.
        inverse: The diagonal of P⁻¹, by parameter, of as many entries in any shape.

    Returns:
        float64 ``[n, n]``, on the CPU; the sum over all parameters is that of their parts.
    """
    total = torch.zeros(1, 1, dtype=torch.float64)
    for name, of_parameter in rows.items():
        root = inverse[name].flatten().to(of_parameter).sqrt()
        scaled = of_parameter * root
        total = total + (scaled @ scaled.T).to("cpu", torch.float64)
    return total


def row_weights(products: Tensor, wanted: Tensor, ridge: float) -> Tensor:
    """Solve for α.

    Args:
        products: R P⁻¹ Rᵀ, float64 ``[n, n]``.
        wanted: t, float64 ``[n]``.
        ridge: ρ, as a multiple of the mean of the diagonal of R P⁻¹ Rᵀ; > 0.

    Returns:
        α, float64 ``[n]``; zeros where no row has a gradient.
    """
    softness = ridge * float(products.diagonal().mean())
    if softness == 0:
        return torch.zeros_like(wanted)
    regular = products + softness * torch.eye(len(products), dtype=products.dtype)
    weights: Tensor = torch.linalg.solve(regular, wanted)
    return weights


def row_direction(rows: Tensors, inverse: Tensors, weights: Tensor, mask: Mask) -> Direction:
    """P⁻¹ Rᵀ α on some parameters.

    Args:
        rows: By parameter, ``[n, entries]``.
        inverse: As of :func:`gram`, in the shape of the slices.
        weights: α, ``[n]``.
        mask: Whose slices the rows are of.

    Returns:
        The direction, of these parameters.
    """
    steps = {}
    for name, axes, indices in mask.slices():
        if name in rows:
            summed = weights.to(rows[name]) @ rows[name]
            values = (summed.reshape(inverse[name].shape) * inverse[name].to(summed)).cpu()
            steps[name] = SliceStep(axes, indices, values, mask.entries(name))
    return Direction(steps)
