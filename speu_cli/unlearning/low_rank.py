"""A curvature that is a diagonal and a few coherent directions: C = P + Σ_k w_k ū_k ū_kᵀ.

P is the damped diagonal of Eq. 10. It does not see that moving along a direction that many examples share,
such as the balance of the classes, moves them all.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

# Of directions that agree to so many digits, in units of their own size, one is held.
ALIKE = 1e-12


def newton_step(
    gradient: Mapping[str, Tensor],
    inverse: Mapping[str, Tensor],
    directions: Mapping[str, Tensor],
    stiffness: float,
) -> dict[str, Tensor]:
    """C⁻¹g by Woodbury's identity, over all parameters together.

    The weights are relative, w_k·ū_kᵀP⁻¹ū_k = s: along a lone direction the step is 1 + s times smaller, and
    no length of ū_k matters. With R_kl = ū_kᵀP⁻¹ū_l / (|ū_k|·|ū_l|) and |ū_k|² = ū_kᵀP⁻¹ū_k,

        C⁻¹g = P⁻¹g − Σ_k y_k·P⁻¹ū_k / |ū_k|,     (R + 1/s)·y = (ū_kᵀP⁻¹g / |ū_k|)_k

    With s = ∞ nothing is moved along any of them.

    Args:
        gradient: g, by parameter name.
        inverse: The diagonal of P⁻¹, likewise; 0 where nothing may move.
        directions: ū, likewise, ``[K, *shape]``; one that is zero throughout holds nothing.
        stiffness: s > 0.

    Returns:
        The step, by parameter name, in the types of g.
    """
    count = len(next(iter(directions.values()))) if directions else 0
    gram, along = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for name, of_parameter in directions.items():
        scaled = list(_products(of_parameter, inverse[name]))
        for k, one in enumerate(scaled):
            along[k] += torch.dot(one, gradient[name].double().flatten())
            for other in range(k + 1):
                gram[k, other] += torch.dot(one, of_parameter[other].double().flatten())
    gram = gram.tril() + gram.tril(-1).T
    size = gram.diagonal().sqrt()
    unit = torch.where(size > 0, 1 / size, 0.0)
    system = gram * unit[:, None] * unit + torch.eye(count, dtype=torch.float64) / stiffness
    y = torch.linalg.pinv(system, hermitian=True, rtol=ALIKE) @ (along * unit)
    step = {}
    for name, of_parameter in directions.items():
        held = torch.einsum("k,k...->...", y * unit, of_parameter.double())
        step[name] = (inverse[name] * (gradient[name] - held)).to(gradient[name].dtype)
    return step


def _products(directions: Tensor, inverse: Tensor) -> Iterator[Tensor]:
    """P⁻¹ū_k of one parameter, flat, in float64."""
    return ((inverse * one.double()).double().flatten() for one in directions)
