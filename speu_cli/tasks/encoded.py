"""Examples as tensors: token ids or pixels, and what the loss compares the model's answers with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from speu_cli.data.batches import Batch, batches_by_length

LABELS = "labels"
IGNORED = -100  # a token that the loss does not look at
Row = dict[str, list[int]]


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of a set of examples, in their order.

    An example is one row of a batch, or several, its windows. In a batch every example has as many rows as
    the one with the most: what it lacks are copies of its first window that its labels say nothing of.

    Attributes:
        rows: What the tokenizer gave, ``name -> token values``: of each example, or of each window, those of
            one example one after the other.
        labels: ``[n, …]``, as the task's loss takes them; by window ``[n, windows, …]``. Where each token has
            a label of its own they stand in the rows, and this is how many there are.
        padding: Value that pads each name.
        ids: Of the examples.
        keys: Hashes of the examples' rows, int64 ``[n]``.
        windows: How many rows each example has. Default: one each.
        references: What the task's scores need to know of each example, if anything.
    """

    rows: Sequence[Row]
    labels: Tensor
    padding: dict[str, int]
    ids: list[str]
    keys: Tensor
    windows: Sequence[int] | None = None
    references: Sequence[object] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each example, its windows padded to the longest of them."""
        if self.windows is None:
            return self.row_lengths
        return [len(rows) * max(map(_length, rows)) for rows in map(self._rows_of, range(len(self)))]

    @property
    def row_lengths(self) -> list[int]:
        """Number of tokens of each row."""
        return [_length(row) for row in self.rows]

    def select(self, indices: Sequence[int]) -> "Encoded":
        """The examples at these positions, in this order."""
        chosen = list(indices)
        return replace(
            self,
            rows=[row for i in chosen for row in self._rows_of(i)],
            labels=self.labels[chosen],
            ids=[self.ids[i] for i in chosen],
            keys=self.keys[chosen],
            windows=None if self.windows is None else [self.windows[i] for i in chosen],
            references=[self.references[i] for i in chosen] if self.references else (),
        )

    def batches(self, max_tokens: int) -> list[Batch]:
        """Positions grouped by length, each group at most ``max_tokens`` when padded."""
        return batches_by_length(self.lengths, max_tokens=max_tokens)

    def collate(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Model inputs ``[batch · windows, longest]``, padded on the right, and labels ``[batch, …]``."""
        of_examples = [self._rows_of(i) for i in indices]
        most = max(map(len, of_examples))
        rows = [row for own in of_examples for row in (*own, *own[:1] * (most - len(own)))]
        longest = max(map(_length, rows))
        inputs = {
            name: torch.tensor([row[name] + [pad] * (longest - len(row[name])) for row in rows])
            for name, pad in self.padding.items()
        }
        if LABELS in inputs:
            return inputs, inputs.pop(LABELS)
        labels = self.labels[list(indices)]
        return inputs, labels if self.windows is None else labels[:, :most]

    def spans(self, indices: Sequence[int]) -> tuple[Tensor, int]:
        """Where each example lies among the positions of a batch, ``[batch · windows · longest]``.

        Args:
            indices: The batch, as :meth:`collate` takes it.

        Returns:
            First position, and number of positions up to the last token: int64 ``[batch, 2]``. The padding of
            windows lies within. And how many positions each example has, ``windows · longest``.
        """
        of_examples = [self._rows_of(i) for i in indices]
        longest = max(_length(row) for rows in of_examples for row in rows)
        each = max(map(len, of_examples)) * longest
        counts = [(len(rows) - 1) * longest + _length(rows[-1]) for rows in of_examples]
        return torch.stack([torch.arange(len(counts)) * each, torch.tensor(counts)], 1), each

    def real(self, indices: Sequence[int]) -> Tensor:
        """Which positions of a batch hold tokens, bool ``[batch · windows, longest]``: no padding."""
        of_examples = [self._rows_of(i) for i in indices]
        most = max(map(len, of_examples))
        counts = [count for rows in of_examples for count in (*map(_length, rows), *[0] * (most - len(rows)))]
        return torch.arange(max(counts)) < torch.tensor(counts)[:, None]

    @cached_property
    def _firsts(self) -> list[int]:
        return list(accumulate(self.windows or (), initial=0))

    def _rows_of(self, index: int) -> list[Row]:
        if self.windows is None:
            return [self.rows[index]]
        return list(self.rows[self._firsts[index] : self._firsts[index + 1]])


def _length(row: Row) -> int:
    return len(row["input_ids"])
