"""The statistics of a set of examples: additive, so that sets can be added and subtracted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Combine = Callable[[Tensor, Tensor], Tensor]

# Statistics are kept in float32. Each of two stored sums is off by up to half a unit in the last place;
# a difference within a few of those cannot be told from zero.
NOISE = 8 * torch.finfo(torch.float32).eps


def _no_examples() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Statistics:
    """Sums over the examples x of a set A (Eq. 3 and Algorithm 1, without the division by |A|).

    Where only a part was asked for, the other mappings are empty, and the tensors of ``fisher`` and
    ``gradient`` hold the selected slices alone, in the order of the mask.

    Attributes:
        count: n_A, the number of examples.
        fisher: F_A = Σ (∂ℓ/∂θ)², by parameter name, in the parameter's shape.
        gradient: g_A = Σ ∂ℓ/∂θ, likewise.
        mask_gradient: u_A[i] = Σ ∂ℓ/∂m_i, by group (``heads/0``), ``[units]``.
        mask_fisher: B_A[i,k] = Σ ∂ℓ/∂m_i · ∂ℓ/∂m_k, by group, ``[units, units]``; its diagonal alone,
            ``[units]``, for a group in ``mask_rows``.
        mask_rows: ∂ℓ/∂m of a sample of the examples, by group, ``[sampled, units]``: in place of B where
            the units are too many for it.
        sampled: Keys of the sampled examples, ascending, int64 ``[sampled]``.
    """

    count: int
    fisher: Tensors
    gradient: Tensors
    mask_gradient: Tensors
    mask_fisher: Tensors
    mask_rows: Tensors = field(default_factory=dict)
    sampled: Tensor = field(default_factory=_no_examples)

    def __add__(self, other: "Statistics") -> "Statistics":
        """S(A ∪ B) = S(A) + S(B) of disjoint sets."""
        _require_same_names(self.mask_rows, other.mask_rows)
        sampled, order = torch.cat([self.sampled, other.sampled]).sort()
        rows = {
            name: torch.cat([self.mask_rows[name], other.mask_rows[name]])[order] for name in self.mask_rows
        }
        return self._combine(other, self.count + other.count, torch.add, torch.add, rows, sampled)

    def __sub__(self, other: "Statistics") -> "Statistics":
        """S(A − B) = S(A) − S(B) of B ⊂ A, with curvature below the rounding noise of S(A) as zero."""
        left = ~torch.isin(self.sampled, other.sampled)
        rows = {name: rows[left] for name, rows in self.mask_rows.items()}
        count = self.count - other.count
        return self._combine(other, count, torch.sub, subtract_squares, rows, self.sampled[left])

    def scaled_to(self, count: int) -> "Statistics":
        """What a set of ``count`` examples would sum to, if these are a random sample of it."""
        if count == self.count:
            return self
        scale = count / self.count

        def scaled(sums: Tensors) -> Tensors:
            return {name: tensor * scale for name, tensor in sums.items()}

        sums = (self.fisher, self.gradient, self.mask_gradient, self.mask_fisher)
        return Statistics(count, *map(scaled, sums), self.mask_rows, self.sampled)

    def _combine(
        self,
        other: "Statistics",
        count: int,
        combine: Combine,
        combine_squares: Combine,
        rows: Tensors,
        sampled: Tensor,
    ) -> "Statistics":
        def pair(mine: Tensors, theirs: Tensors, operation: Combine) -> Tensors:
            _require_same_names(mine, theirs)
            return {name: operation(mine[name], theirs[name]) for name in mine}

        return Statistics(
            count,
            fisher=pair(self.fisher, other.fisher, combine_squares),
            gradient=pair(self.gradient, other.gradient, combine),
            mask_gradient=pair(self.mask_gradient, other.mask_gradient, combine),
            mask_fisher=pair(self.mask_fisher, other.mask_fisher, combine),
            mask_rows=rows,
            sampled=sampled,
        )


def _require_same_names(mine: Tensors, theirs: Tensors) -> None:
    if mine.keys() != theirs.keys():
        raise ValueError(f"statistics of different models: {sorted(mine.keys() ^ theirs.keys())[:3]}")


def subtract_squares(total: Tensor, part: Tensor) -> Tensor:
    """Difference of two sums of squares, zero where rounding could have made it."""
    difference = total - part
    return torch.where(difference > NOISE * total, difference, 0.0)
