"""The statistics of a set of examples: additive, so that sets can be added and subtracted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]

# Statistics are kept in float32. Each of two stored sums is off by up to half a unit in the last place;
# a difference within a few of those cannot be told from zero.
NOISE = 8 * torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Statistics:
    """Sums over the examples x of a set A (Eq. 3 and Algorithm 1, without the division by |A|).

    Attributes:
        count: n_A, the number of examples.
        fisher: F_A = Σ (∂ℓ/∂θ)², by parameter name, in the parameter's shape.
        gradient: g_A = Σ ∂ℓ/∂θ, likewise.
        mask_gradient: u_A[i] = Σ ∂ℓ/∂m_i, by group (``heads/0``), ``[units]``.
        mask_fisher: B_A[i,k] = Σ ∂ℓ/∂m_i · ∂ℓ/∂m_k, by group, ``[units, units]``.
    """

    count: int
    fisher: Tensors
    gradient: Tensors
    mask_gradient: Tensors
    mask_fisher: Tensors

    def __add__(self, other: "Statistics") -> "Statistics":
        """S(A ∪ B) = S(A) + S(B) of disjoint sets."""
        return self._combine(other, self.count + other.count, torch.add, torch.add)

    def __sub__(self, other: "Statistics") -> "Statistics":
        """S(A − B) = S(A) − S(B) of B ⊂ A, with curvature below the rounding noise of S(A) as zero."""
        return self._combine(other, self.count - other.count, torch.sub, subtract_squares)

    def scaled_to(self, count: int) -> "Statistics":
        """What a set of ``count`` examples would sum to, if these are a random sample of it."""
        if count == self.count:
            return self
        scale = count / self.count
        parts = {
            field.name: {name: tensor * scale for name, tensor in getattr(self, field.name).items()}
            for field in fields(self)
            if field.name != "count"
        }
        return Statistics(count, **parts)

    def _combine(
        self,
        other: "Statistics",
        count: int,
        combine: Callable[[Tensor, Tensor], Tensor],
        combine_squares: Callable[[Tensor, Tensor], Tensor],
    ) -> "Statistics":
        def pair(mine: Tensors, theirs: Tensors, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensors:
            if mine.keys() != theirs.keys():
                raise ValueError(f"statistics of different models: {sorted(mine.keys() ^ theirs.keys())[:3]}")
            return {name: operation(mine[name], theirs[name]) for name in mine}

        return Statistics(
            count,
            fisher=pair(self.fisher, other.fisher, combine_squares),
            gradient=pair(self.gradient, other.gradient, combine),
            mask_gradient=pair(self.mask_gradient, other.mask_gradient, combine),
            mask_fisher=pair(self.mask_fisher, other.mask_fisher, combine),
        )


def subtract_squares(total: Tensor, part: Tensor) -> Tensor:
    """Difference of two sums of squares, zero where rounding could have made it."""
    difference = total - part
    return torch.where(difference > NOISE * total, difference, 0.0)
