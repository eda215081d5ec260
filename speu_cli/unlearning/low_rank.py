"""A curvature that is a diagonal and a few coherent directions: C = P + Σ_k w_k ū_k ū_kᵀ.

P is the damped diagonal of Eq. 10. It does not see that moving along a direction that many examples share,
such as the balance of the classes, moves them all.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# Of directions that agree to so many digits, in units of their own size, one is held.
ALIKE = 1e-12


def newton_step(
    gradient: Mapping[str, Tensor],
    inverse: Mapping[str, Tensor],
    directions: Mapping[str, Sequence[Tensor]],
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
        directions: ū_1 … ū_K, likewise; one that is zero throughout holds nothing.
        stiffness: s > 0.

    Returns:
        The step, by parameter name, in the types of g.
    """
    count = len(next(iter(directions.values()))) if directions else 0
    gram, along = torch.zeros(count, count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for name, of_parameter in directions.items():
        g, wide = gradient[name].double(), [one.double() for one in of_parameter]
        for k, one in enumerate(wide):
            scaled = inverse[name] * one
            along[k] += (scaled * g).sum()
            for other in range(k + 1):
                gram[k, other] += (scaled * wide[other]).sum()
    gram = gram.tril() + gram.tril(-1).T
    size = gram.diagonal().sqrt()
    unit = torch.where(size > 0, 1 / size, 0.0)
    system = gram * unit[:, None] * unit + torch.eye(count, dtype=torch.float64) / stiffness
    y = torch.linalg.pinv(system, hermitian=True, rtol=ALIKE) @ (along * unit)
    step = {}
    for name, of_parameter in directions.items():
        left = gradient[name].double()
        for coefficient, one in zip((y * unit).tolist(), of_parameter, strict=True):
            left = left - coefficient * one.double()
        step[name] = (inverse[name] * left).to(gradient[name].dtype)
    return step
