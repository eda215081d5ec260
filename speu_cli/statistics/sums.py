"""The statistics of a set of examples: additive, so that sets can be added and subtracted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Combine = Callable[[Tensor, Tensor], Tensor]

SUMS = ("fisher", "gradient", "mask_gradient", "mask_fisher")
OF_DIRECTIONS = "directions"

# Statistics are kept in float32. Each of two stored sums is off by up to half a unit in the last place;
# a difference within a few of those cannot be told from zero.
NOISE = 8 * torch.finfo(torch.float32).eps


def _no_examples() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


def _no_directions() -> Tensor:
    return torch.zeros(0, dtype=torch.float64)


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
        directions: U_A[k] = Σ s_k(x) · ∂q/∂θ over those of A that are in a sample of their own, by parameter
            name, ``[K, *shape]``; see :class:`speu_cli.statistics.directions.Directions`.
        direction_weights: Σ |s_k(x)| over these, float64 ``[K]``: U divided by it is a mean.
    """

    count: int
    fisher: Tensors
    gradient: Tensors
    mask_gradient: Tensors
    mask_fisher: Tensors
    mask_rows: Tensors = field(default_factory=dict)
    sampled: Tensor = field(default_factory=_no_examples)
    directions: Tensors = field(default_factory=dict)
    direction_weights: Tensor = field(default_factory=_no_directions)

    def __add__(self, other: "Statistics") -> "Statistics":
        """S(A ∪ B) = S(A) + S(B) of disjoint sets."""
        _require_same_names(self.mask_rows, other.mask_rows)
        rows, sampled = _united_samples([self, other])
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

        # What is kept of a sample in any case, mask gradients and directions, stays that of the sample.
        return replace(
            self,
            count=count,
            fisher=scaled(self.fisher),
            gradient=scaled(self.gradient),
            mask_gradient=scaled(self.mask_gradient),
            mask_fisher=scaled(self.mask_fisher),
        )

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
            directions=pair(self.directions, other.directions, combine),
            direction_weights=combine(self.direction_weights, other.direction_weights),
        )


class DisjointUnion:
    """S(A ∪ B ∪ …) of disjoint sets, in float64: of the sets added so far it keeps their sum alone."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._shapes: set[tuple[str, str, tuple[int, ...]]] = set()
        self._samples: list[Statistics] = []

    def add(self, part: Statistics) -> None:
        """Add the statistics of a further set.

        Args:
            part: They, in any precision.

        Raises:
            ValueError: They are not of the same parameters and units as those before.
        """
        shapes = _shapes(part)
        if not self._samples:
            self._shapes = shapes
            self._sums = {
                kind: {name: sums.to(torch.float64, copy=True) for name, sums in getattr(part, kind).items()}
                for kind in (*SUMS, OF_DIRECTIONS)
            }
        elif odd := sorted(shapes ^ self._shapes):
            raise ValueError(f"'{odd[0][0]}' of {odd[0][1]} is missing, unknown or misshapen")
        else:
            for kind, totals in self._sums.items():
                for name, total in totals.items():
                    total.add_(getattr(part, kind)[name])
        weights = part.direction_weights
        rest = Statistics(part.count, {}, {}, {}, {}, part.mask_rows, part.sampled, direction_weights=weights)
        self._samples.append(rest)

    def statistics(self) -> Statistics:
        """The statistics of all the sets; nothing can be added afterwards."""
        rows, sampled = _united_samples(self._samples)
        count = sum(part.count for part in self._samples)
        weights = torch.stack([part.direction_weights for part in self._samples]).sum(0)
        return Statistics(count, **self._sums, mask_rows=rows, sampled=sampled, direction_weights=weights)


def _shapes(statistics: Statistics) -> set[tuple[str, str, tuple[int, ...]]]:
    """Kind, name and shape of every tensor, whatever the size of the sample."""
    sums = {
        (kind, name, tuple(tensor.shape))
        for kind in (*SUMS, OF_DIRECTIONS)
        for name, tensor in getattr(statistics, kind).items()
    }
    return sums | {("mask_rows", name, tuple(rows.shape[1:])) for name, rows in statistics.mask_rows.items()}


def _united_samples(parts: Sequence[Statistics]) -> tuple[Tensors, Tensor]:
    """The rows of disjoint samples in order of their keys, and the keys."""
    sampled, order = torch.cat([part.sampled for part in parts]).sort()
    rows = {name: torch.cat([part.mask_rows[name] for part in parts])[order] for name in parts[0].mask_rows}
    return rows, sampled


def _require_same_names(mine: Tensors, theirs: Tensors) -> None:
    if mine.keys() != theirs.keys():
        raise ValueError(f"statistics of different models: {sorted(mine.keys() ^ theirs.keys())[:3]}")


def subtract_squares(total: Tensor, part: Tensor) -> Tensor:
    """Difference of two sums of squares, zero where rounding could have made it."""
    difference = total - part
    return torch.where(difference > NOISE * total, difference, 0.0)
