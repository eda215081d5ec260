"""The eigenbasis of the Kronecker factors, on the slices of a mask.

An example's gradient of a weight is G_x = Σ_t δ_t ⊗ a_t, ``[rows, columns]``. A mask selects rows, features
of δ, or columns, features of a. The factors are made of these features alone: an eigenvector of the whole
factor would mix them with frozen ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kronecker.sample import Sample
from speu_cli.statistics.factors import Factor, Outer, spanned_rows
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.wanted import Part, Wanted


@dataclass(frozen=True)
class Basis:
    """Orthogonal matrices; their columns are the eigenvectors.

    Attributes:
        left: Q_G, ``[rows, rows]``.
        right: Q_A, ``[columns, columns]``.
    """

    left: Tensor
    right: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> "Basis":
        """The eigenvectors of symmetric factors G and A, computed in float64."""
        return cls(*(torch.linalg.eigh(factor.double().cpu()).eigenvectors for factor in (left, right)))

    def turn(self, matrix: Tensor) -> Tensor:
        """Q_Gᵀ M Q_A."""
        return self.left.T @ matrix @ self.right

    def turn_back(self, matrix: Tensor) -> Tensor:
        """Q_G M Q_Aᵀ."""
        return self.left @ matrix @ self.right.T


def find_bases(sample: Sample, parts: Mapping[str, Part]) -> dict[str, Basis]:
    """Find the eigenbases in one pass.

    Args:
        sample: Of the remaining examples.
        parts: Rows or columns of weights.

    Returns:
        By parameter; one whose layer has no factors, as it is no linear layer, is not in it.
    """
    sums = _FactorSums(sample, parts)
    sample.add_to(sums, parts, "Kronecker factors")
    return {name: Basis.of(left, right) for name, (left, right) in sums.factors.items()}


class _FactorSums(RunningSums):
    """Sums G = Σ δ δᵀ and A = Σ a aᵀ over the positions of all examples.

    They are not divided by the number of positions, which no eigenvector depends on. A position where δ or a
    is zero has no part in any gradient and none in the factors: padding, and whatever a model does not read.

    Args:
        sample: The examples.
        parts: As of :func:`find_bases`.

    Attributes:
        factors: G and A by parameter, float64.
    """

    def __init__(self, sample: Sample, parts: Mapping[str, Part]) -> None:
        super().__init__(sample.model, sample.layout, Wanted({}, mask_statistics=False))
        self._parts = parts
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}

    def add_parameter(self, name: str, factor: Factor) -> None:
        """Add a batch's positions."""
        if not isinstance(factor, Outer):
            return
        chosen = factor.select(self._parts[name])
        rows = spanned_rows(chosen.spans).to(chosen.deltas.device)
        active = rows[chosen.deltas[rows].any(-1) & chosen.inputs[rows].any(-1)]
        left, right = _square(chosen.deltas[active]), _square(chosen.inputs[active])
        if name in self.factors:
            so_far = self.factors[name]
            left, right = so_far[0] + left, so_far[1] + right
        self.factors[name] = (left, right)


def _square(rows: Tensor) -> Tensor:
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return (wide.T @ wide).double()
