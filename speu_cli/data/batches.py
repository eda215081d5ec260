"""Batches of like length: little padding."""

from collections.abc import Sequence

from speu_cli.errors import InputError


def batches_by_length(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Group examples so that each batch, padded to its longest, holds at most ``max_tokens`` tokens.

    The longest come first: what does not fit in memory fails at once, and the time left is rarely
    underestimated. Equal lengths keep their order. An example longer than ``max_tokens`` has its own batch.

    Args:
        lengths: Tokens of each example.
        max_tokens: Most tokens in a batch, padding included.

    Returns:
        Positions in ``lengths``, a list a batch; every position is in one batch.

    Raises:
        InputError: ``max_tokens`` is below 1.
    """
    if max_tokens < 1:
        raise InputError(f"batch tokens: got {max_tokens}, expected at least 1")
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if batches and longest * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(position)
        else:
            batches.append([position])
            longest = lengths[position]
    return batches
