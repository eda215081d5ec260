"""The corrected eigenvalues, and the step that divides by them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kronecker.basis import Basis, find_bases
from kronecker.sample import Sample
from speu_cli.statistics.factors import Factor, Outer
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.unlearning.second_order import Direction, slices_of


@dataclass(frozen=True)
class Curvature:
    """Q_G ⊗ Q_A with the eigenvalues that the gradients have in it.

    Attributes:
        basis: The eigenvectors.
        eigenvalues: Λ_ij, the mean over the examples of (Q_Gᵀ G_x Q_A)_ij², ``[rows, columns]``.
    """

    basis: Basis
    eigenvalues: Tensor

    def solve(self, gradient: Tensor, damping: float) -> Tensor:
        """Q_G [ (Q_Gᵀ g Q_A) / (Λ + λ·mean Λ) ] Q_Aᵀ, computed in float64.

        Args:
            gradient: g, ``[rows, columns]``.
            damping: λ. The mean of Λ is that of the gradients' squares in any basis.

        Returns:
            The step, in the type of g; none along eigenvectors without curvature where λ is 0.
        """
        damped = self.eigenvalues + damping * self.eigenvalues.mean()
        turned = self.basis.turn(gradient.double())
        step = self.basis.turn_back(torch.where(damped > 0, turned / damped, 0.0))
        return step.to(gradient.dtype)


def find_curvature(sample: Sample, parts: Mapping[str, Part]) -> dict[str, Curvature]:
    """Find the eigenbases in one pass over the examples, and the eigenvalues in another.

    Args:
        sample: Of the remaining examples.
        parts: Rows or columns of weights.

    Returns:
        By parameter, of those whose layer is linear.
    """
    return correct_eigenvalues(sample, parts, find_bases(sample, parts))


def correct_eigenvalues(
    sample: Sample, parts: Mapping[str, Part], bases: Mapping[str, Basis]
) -> dict[str, Curvature]:
    """Compute Λ in given bases, in one pass.

    Args:
        sample: As of :func:`find_curvature`.
        parts: Likewise.
        bases: By parameter.

    Returns:
        By parameter.
    """
    own = {name: parts[name] for name in bases}
    sums = _TurnedSums(sample, own, bases)
    sample.add_to(sums, own, "eigenvalues")
    statistics = sums.statistics()
    return {
        name: Curvature(basis, statistics.fisher[name] / statistics.count) for name, basis in bases.items()
    }


class _TurnedSums(RunningSums):
    """Sums squares of gradients in other bases: as G_x is of δ and a, Q_Gᵀ G_x Q_A is of Q_Gᵀδ and Q_Aᵀa.

    Args:
        sample: The examples.
        parts: Rows or columns of weights.
        bases: By parameter.
    """

    def __init__(self, sample: Sample, parts: Mapping[str, Part], bases: Mapping[str, Basis]) -> None:
        super().__init__(sample.model, sample.layout, Wanted(parts, mask_statistics=False))
        self._parts = parts
        self._bases: dict[str, Basis] = {}
        for name, basis in bases.items():
            like = self._fisher[name].value
            self._bases[name] = Basis(basis.left.to(like), basis.right.to(like))

    def add_parameter(self, name: str, factor: Factor) -> None:
        """Add a batch's gradients of one parameter.

        Args:
            name: Of the parameter.
            factor: Its gradients.

        Raises:
            TypeError: The layer was linear when the basis was found, and is no more.
        """
        chosen = factor.select(self._parts[name])
        if not isinstance(chosen, Outer):
            raise TypeError(f"{name}: expected the factors of a linear layer, got {type(chosen).__name__}")
        left, right = self._bases[name].left, self._bases[name].right
        turned = Outer(chosen.inputs.to(right) @ right, chosen.deltas.to(left) @ left, chosen.spans)
        turned.add_to(self._fisher[name].small, self._gradient[name].small)


def corrected(
    direction: Direction, gradient: Statistics, curvature: Mapping[str, Curvature], damping: float
) -> Direction:
    """A direction with other steps where there is another curvature; elsewhere, as of biases, it is kept.

    Args:
        direction: That the diagonal gives.
        gradient: Statistics of the forget examples; only g is used.
        curvature: By parameter.
        damping: λ.

    Returns:
        The direction, on the same slices.
    """
    steps = dict(direction.steps)
    for name, one in curvature.items():
        step = steps[name]
        g = slices_of(gradient.gradient[name], step.axes, step.indices)
        steps[name] = replace(step, values=one.solve(g, damping))
    return Direction(steps)
