"""A data set in parts, each for a run or a process of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from speu_cli.errors import InputError


@dataclass(frozen=True)
class Shard:
    """A part of a run that was divided: number ``index``, from 1, of ``of`` shards.

    Raises:
        ValueError: There is no such shard.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise ValueError(f"got shard {self}, expected 1/N … N/N")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read what ``str`` gives, such as ``2/8``.

        Args:
            text: What was given.

        Returns:
            The shard.

        Raises:
            InputError: It is no shard.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        try:
            if match:
                return cls(int(match[1]), int(match[2]))
        except ValueError:
            pass
        raise InputError(f"shard: got {text!r}, expected I/N with I from 1 to N, such as 2/8")

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def positions(lengths: Sequence[int], shard: Shard) -> list[int]:
    """Deal examples out to shards, about as many tokens to each.

    The longest are dealt first, one to each shard in turn, then one to each in the opposite order, as teams
    are drawn. So two shards differ by one example at most, and by no more tokens than the longest example
    has. It depends on the lengths alone: all runs agree on it without a word between them.

    Args:
        lengths: Tokens of each example.
        shard: Which part.

    Returns:
        Positions of the examples in this shard, ascending; every position is in one shard.
    """
    order = sorted(range(len(lengths)), key=lambda one: -lengths[one])
    there, back = shard.index - 1, 2 * shard.of - shard.index
    return sorted(order[there :: 2 * shard.of] + order[back :: 2 * shard.of])
