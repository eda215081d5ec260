"""Coherent directions: what moves many examples at once, which a diagonal curvature does not see."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal["classes", "signs"]

EXAMPLES = 1024
# Signs are bits of a row's hash: the lowest, for the highest are alike in a sample of the smallest hashes.
MOST = 32


@dataclass(frozen=True)
class Directions:
    """Which directions are summed: U[k] = Σ s_k(x) · ∂q/∂θ, with q as the task says and fixed weights s.

    Attributes:
        kind: ``classes``: s is the one-hot of the true class; ``signs``: s_0 = 1, and the others are ±1, each
            by a bit of the row's hash.
        count: K.
        examples: Most examples of a set that are summed over.

    Raises:
        ValueError: A value is unknown or out of range.
    """

    kind: Kind
    count: int
    examples: int

    def __post_init__(self) -> None:
        whole = type(self.count) is int and type(self.examples) is int
        known = whole and self.kind in get_args(Kind)
        if not known or not 1 <= self.count <= MOST or self.examples < 1:
            raise ValueError(f"there are no directions of {asdict(self)}")

    def sample(self, rows: Tensor) -> Tensor:
        """The examples that are summed over: those with the smallest hashes, a random sample.

        Args:
            rows: Hashes of all rows in the sums, int64 ``[n]``.

        Returns:
            Hashes of the chosen, ascending.
        """
        return rows.sort().values[: self.examples]

    def weights(self, labels: Tensor, keys: Tensor) -> Tensor:
        """Weights s of each example.

        Args:
            labels: ``[n, …]``; of ``classes`` the true ones, int64 ``[n]``.
            keys: Hashes of the rows, int64 ``[n]``.

        Returns:
            Float64 ``[n, K]``.
        """
        if self.kind == "classes":
            return functional.one_hot(labels, self.count).double()
        bits = (keys[:, None] >> torch.arange(self.count - 1)) & 1
        return torch.cat([torch.ones(len(keys), 1), 1.0 - 2.0 * bits], 1).double()

    def total(self, weights: Tensor) -> float:
        """How many examples were summed over.

        Args:
            weights: Σ |s_k(x)|, ``[K]``.

        Returns:
            Their number.
        """
        return float(weights.sum()) if self.kind == "classes" else float(weights[0])
