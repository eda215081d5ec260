"""What a model predicts of each example, not the label's probability alone: to compare two models."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MOST_BYTES = 2**28  # of one set and model: all examples of few classes, about 2,000 tokens of 32,000 words
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distributions:
    """Predicted distributions of some examples; an example has one or several.

    Attributes:
        owners: Which example each belongs to, int64 ``[m]``.
        log_probabilities: ``[m, outcomes]``; −∞ for what cannot be.
    """

    owners: Tensor
    log_probabilities: Tensor


def divergences(expected: Distributions, found: Distributions, examples: int) -> Tensor:
    """KL(expected ‖ found) of each example, in nats: the mean over its distributions.

    Args:
        expected: What a reference predicts.
        found: What a model predicts of the same examples.
        examples: How many examples there are; those without a distribution get NaN.

    Returns:
        ``[examples]``, 0 where both predict the same.
    """
    p, q = expected.log_probabilities, found.log_probabilities
    impossible = p.eq(-torch.inf)
    terms = (p.exp() * (p - q)).masked_fill(impossible, 0.0)
    # The sum of a distribution against itself is 0 but for rounding, which may leave it below.
    each = terms.sum(-1).to(torch.float64).clamp(min=0.0)
    sums = torch.zeros(examples, dtype=torch.float64).index_add(0, expected.owners, each)
    return sums / torch.bincount(expected.owners, minlength=examples)


@dataclass
class Kept:
    """Distributions of one set, batch by batch, as far as there is room for them.

    Attributes:
        most_bytes: Room for them.
        seed: Of the draw of the examples that are kept where there is no room for all.
        batches: Positions of the examples in the set, and what is predicted of them.
    """

    most_bytes: int = MOST_BYTES
    seed: int = 0
    batches: list[tuple[list[int], Distributions]] = field(default_factory=list)
    _chosen: npt.NDArray[np.bool_] | None = None

    def choose(self, lengths: Sequence[int], bytes_a_token: int) -> npt.NDArray[np.bool_]:
        """Which examples are kept: the first of a random order that fit, at least one.

        Args:
            lengths: Tokens of each example.
            bytes_a_token: What each of them takes at most.

        Returns:
            Bool ``[n]``.
        """
        if self._chosen is None:
            order = np.random.default_rng(self.seed).permutation(len(lengths))
            fits = np.cumsum(np.asarray(lengths)[order]) * bytes_a_token <= self.most_bytes
            self._chosen = np.zeros(len(lengths), dtype=np.bool_)
            self._chosen[order[fits]] = True
            self._chosen[order[:1]] = True
        return self._chosen

    def add(self, positions: list[int], found: Distributions) -> None:
        """Keep what is predicted of the examples at these positions."""
        self.batches.append((positions, Distributions(found.owners.cpu(), found.log_probabilities.cpu())))


def kept_divergences(expected: Kept, found: Kept, examples: int) -> FloatArray:
    """KL(expected ‖ found) of each example of a set.

    Args:
        expected: Of a reference.
        found: Of a model, on the same inputs in the same batches.
        examples: Size of the set.

    Returns:
        float64 ``[examples]``; NaN of those that are not kept.
    """
    values = torch.full((examples,), torch.nan, dtype=torch.float64)
    for (positions, one), (_, other) in zip(expected.batches, found.batches, strict=True):
        values[positions] = divergences(one, other, len(positions))
    return values.numpy()
