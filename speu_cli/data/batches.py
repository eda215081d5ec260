"""Batches of like length: little padding."""

from collections.abc import Iterator, Sequence

from speu_cli.errors import InputError


class Batch(list[int]):
    """Positions of examples that are computed together.

    Args:
        positions: The positions.
        tokens: How many tokens they have, without padding.

    Attributes:
        tokens: As given.
    """

    def __init__(self, positions: Sequence[int], tokens: int) -> None:
        super().__init__(positions)
        self.tokens = tokens


class Schedule(Iterator[Batch]):
    """Batches, each of at most so many tokens when padded to its longest example.

    The longest examples come first: what does not fit in memory fails at once. Equal lengths keep their
    order. An example longer than a batch has its own.

    Args:
        lengths: Tokens of each example.
        max_tokens: Most tokens in a batch, padding included.

    Attributes:
        max_tokens: As given; may be changed on the way.
        done: How many examples have been given out; may be set, to go on from there.

    Raises:
        InputError: ``max_tokens`` is below 1.
    """

    def __init__(self, lengths: Sequence[int], max_tokens: int) -> None:
        if max_tokens < 1:
            raise InputError(f"batch tokens: got {max_tokens}, expected at least 1")
        self._lengths = lengths
        self._order = sorted(range(len(lengths)), key=lambda one: -lengths[one])
        self.max_tokens = max_tokens
        self.done = 0

    def __next__(self) -> Batch:
        """The next batch.

        Returns:
            The batch.

        Raises:
            StopIteration: Every example was given out.
        """
        if self.done == len(self._order):
            raise StopIteration
        count = max(1, self.max_tokens // max(1, self._lengths[self._order[self.done]]))
        positions = self._order[self.done : self.done + count]
        self.done += len(positions)
        return Batch(positions, sum(self._lengths[one] for one in positions))

    @property
    def tokens_left(self) -> int:
        """Tokens of the examples not yet given out."""
        return sum(self._lengths[one] for one in self._order[self.done :])


def batches_by_length(lengths: Sequence[int], *, max_tokens: int) -> list[Batch]:
    """Group examples so that each batch, padded to its longest, holds at most ``max_tokens`` tokens.

    Args:
        lengths: Tokens of each example.
        max_tokens: Most tokens in a batch, padding included.

    Returns:
        Positions in ``lengths``, as :class:`Schedule` has them; every position is in one batch.
    """
    return list(Schedule(lengths, max_tokens))
