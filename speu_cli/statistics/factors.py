"""Per-example gradients of a parameter in the form that is cheapest to sum and to square.

Every rule turns what a module saw in a forward and a backward pass into one of these forms. n is the
number of examples of a batch, ``rows`` their positions one after the other, padding included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from speu_cli.statistics.kernels.products import add_products
from speu_cli.statistics.wanted import Part
from speu_cli.structures.entries import take
from speu_cli.structures.units import ROWS


class Factor(Protocol):
    """The gradients G_1 … G_n of one parameter, one an example."""

    def select(self, part: Part) -> "Factor":
        """Only the wanted part of each gradient."""
        ...

    def add_to(self, squares: Tensor, sums: Tensor) -> None:
        """Add Σ_n G_n² and Σ_n G_n to running totals of the parameter's shape."""
        ...

    def of_example(self, k: int) -> Tensor:
        """G_k itself, in the parameter's shape."""
        ...


@dataclass(frozen=True)
class Outer:
    """G_n = Σ_t δ_nt ⊗ a_nt, a matrix ``[out, in]``.

    Attributes:
        inputs: a, ``[rows, in]``.
        deltas: δ, ``[rows, out]``.
        spans: First row and number of rows of each example, without padding, int64 ``[n, 2]``, on the CPU.
    """

    inputs: Tensor
    deltas: Tensor
    spans: Tensor

    def select(self, part: Part) -> "Outer":
        """Rows of the matrix are features of δ, columns are features of a."""
        indices = part.indices.to(self.deltas.device)
        if part.axes == ROWS:
            return Outer(self.inputs, self.deltas.index_select(1, indices), self.spans)
        return Outer(self.inputs.index_select(1, indices), self.deltas, self.spans)

    def add_to(self, squares: Tensor, sums: Tensor) -> None:
        """One product of matrices if each example has one position at most, else example by example."""
        single = self._single_positions()
        if single is not None:
            a, delta = (one.to(squares.dtype) for one in single)
            # G_n = δ ⊗ a, so Σ_n G_n² = Σ_n δ² ⊗ a².
            of_squares, of_sums = (delta**2).T @ a**2, delta.T @ a
            squares += of_squares
            sums += of_sums
        else:
            add_products(squares, sums, self.inputs, self.deltas, self.spans)

    def of_example(self, k: int) -> Tensor:
        """δ_kᵀ a_k."""
        first, count = self.spans[k].tolist()
        rows = slice(first, first + count)
        wide = torch.promote_types(self.deltas.dtype, torch.float32)
        return self.deltas[rows].to(wide).T @ self.inputs[rows].to(wide)

    def _single_positions(self) -> tuple[Tensor, Tensor] | None:
        """Find the one position of each example where δ is not zero, as where a model reads one position.

        Returns:
            a ``[n, in]`` and δ ``[n, out]`` at these positions; None if an example has more of them.
        """
        firsts, counts = self.spans.unbind(1)
        if int(counts.max()) > 1:
            longest = int(counts.argmax())
            first, count = self.spans[longest].tolist()
            if int(self.deltas[first : first + count].any(-1).sum()) > 1:
                return None
        rows = spanned_rows(self.spans).to(self.deltas.device)
        active = rows[self.deltas[rows].any(-1)]
        example = torch.bucketize(active.cpu(), firsts.contiguous(), right=True)
        if len(example.unique()) < len(example):
            return None
        return self.inputs[active], self.deltas[active]


@dataclass(frozen=True)
class Rows:
    """G_n has δ_nt added to its row ``index_nt`` for every t: the gradient of a table that is looked up.

    Attributes:
        index: Row of the table, int64 ``[rows]``.
        deltas: δ, ``[rows, width]``.
        spans: As of :class:`Outer`.
        height: Rows of the table.
    """

    index: Tensor
    deltas: Tensor
    spans: Tensor
    height: int

    def select(self, part: Part) -> "Dense":
        """No unit owns a part of a table: taken from the gradients themselves."""
        indices = part.indices.to(self.deltas.device)
        return Dense(
            lambda: torch.stack(
                [take(self.of_example(k), part.axes, indices) for k in range(len(self.spans))]
            )
        )

    def add_to(self, squares: Tensor, sums: Tensor) -> None:
        """Sum what an example adds to one row of the table before squaring."""
        rows = spanned_rows(self.spans).to(self.index.device)
        example = torch.repeat_interleave(torch.arange(len(self.spans)), self.spans[:, 1])
        index, deltas = self.index[rows], self.deltas[rows].to(squares.dtype)
        pairs, place = (example.to(index.device) * self.height + index).unique(return_inverse=True)
        gradients = deltas.new_zeros(len(pairs), deltas.shape[1]).index_add_(0, place, deltas)
        rows_of_table, of_squares = pairs % self.height, gradients**2
        squares.index_add_(0, rows_of_table, of_squares)
        sums.index_add_(0, rows_of_table, gradients)

    def of_example(self, k: int) -> Tensor:
        """The table's gradient, zero in the rows that the example does not look up."""
        first, count = self.spans[k].tolist()
        rows = slice(first, first + count)
        wide = torch.promote_types(self.deltas.dtype, torch.float32)
        table = self.deltas.new_zeros(self.height, self.deltas.shape[1], dtype=wide)
        return table.index_add_(0, self.index[rows], self.deltas[rows].to(wide))


@dataclass(frozen=True)
class Dense:
    """G_n as it is: for parameters so small that nothing cheaper is needed.

    Attributes:
        make: Computes the gradients, if they are asked for.
    """

    make: Callable[[], Tensor]

    @cached_property
    def gradients(self) -> Tensor:
        """``[n, *shape]``."""
        return self.make()

    def select(self, part: Part) -> "Dense":
        """The wanted entries."""
        return Dense(lambda: self._select(self.gradients, part))

    def add_to(self, squares: Tensor, sums: Tensor) -> None:
        """Σ_n G_n² and Σ_n G_n."""
        gradients = self.gradients.to(squares.dtype)
        of_squares, of_sums = (gradients**2).sum(0), gradients.sum(0)
        squares += of_squares
        sums += of_sums

    def of_example(self, k: int) -> Tensor:
        """G_k."""
        return self.gradients[k]

    @staticmethod
    def _select(gradients: Tensor, part: Part) -> Tensor:
        indices = part.indices.to(gradients.device)
        if len(part.axes) == 1:
            return gradients.index_select(part.axes[0] + 1, indices)
        return torch.stack([take(one, part.axes, indices) for one in gradients])


def together(uses: list[Factor]) -> Factor:
    """The gradients of a parameter that was used several times: contributions are summed before squaring.

    Args:
        uses: One factor a use, of the same examples.

    Returns:
        Their sum.
    """
    if len(uses) == 1:
        return uses[0]
    outers = [use for use in uses if isinstance(use, Outer)]
    if len(outers) == len(uses):
        return _one_after_the_other(outers)
    makers = [use.make for use in uses if isinstance(use, Dense)]
    if len(makers) == len(uses):
        return Dense(lambda: torch.stack([make() for make in makers]).sum(0))
    return Summed(tuple(uses))


def _one_after_the_other(uses: list[Outer]) -> Outer:
    """A sum of outer products over the positions of all uses."""
    counts = torch.stack([use.spans[:, 1] for use in uses], 1)
    ends = counts.sum(1).cumsum(0)
    spans = torch.stack([ends - counts.sum(1), counts.sum(1)], 1)
    offsets = torch.tensor([0, *(len(use.deltas) for use in uses)]).cumsum(0)
    pieces = [
        torch.arange(int(use.spans[k, 0]), int(use.spans[k].sum())) + offsets[number]
        for k in range(len(counts))
        for number, use in enumerate(uses)
    ]
    rows = torch.cat(pieces).to(uses[0].deltas.device)
    inputs, deltas = (torch.cat([getattr(use, name) for use in uses])[rows] for name in ("inputs", "deltas"))
    return Outer(inputs, deltas, spans)


@dataclass(frozen=True)
class Summed:
    """G_n as a sum of factors of different kinds, as of a tied embedding; one dense gradient at a time."""

    uses: tuple[Factor, ...]

    def select(self, part: Part) -> "Summed":
        """The wanted part of each."""
        return Summed(tuple(use.select(part) for use in self.uses))

    def add_to(self, squares: Tensor, sums: Tensor) -> None:
        """Σ_n G_n² and Σ_n G_n, example by example."""
        for k in range(examples_in(self.uses[0])):
            gradient = self.of_example(k).to(squares.dtype)
            sums += gradient
            squares.addcmul_(gradient, gradient)

    def of_example(self, k: int) -> Tensor:
        """The sum of the uses' gradients."""
        return torch.stack([use.of_example(k) for use in self.uses]).sum(0)


def examples_in(factor: Factor) -> int:
    """How many examples a factor is of."""
    match factor:
        case Summed(uses):
            return examples_in(uses[0])
        case Dense():
            return len(factor.gradients)
        case Outer(spans=spans) | Rows(spans=spans):
            return len(spans)
    raise TypeError(f"no factor: {type(factor).__name__}")


def sum_by_example(rows: Tensor, examples: int) -> Tensor:
    """Sum rows ``[examples · t, …]`` over the positions t of each example: ``[examples, …]``."""
    return rows.reshape(examples, -1, *rows.shape[1:]).sum(1)


def spanned_rows(spans: Tensor) -> Tensor:
    """The rows in any span, example by example, int64 on the CPU."""
    firsts, counts = spans.unbind(1)
    starts = torch.repeat_interleave(firsts - counts.cumsum(0) + counts, counts)
    return starts + torch.arange(int(counts.sum()))
