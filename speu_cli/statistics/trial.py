"""The size of a batch, found by trial: as large as pays, and as fits."""

import time
from collections.abc import Callable, Sequence

import psutil
import torch

from speu_cli.data.batches import Batch, Schedule

FIRST = 1024
# A batch of twice the size has to be faster by this factor; fewer tokens take less memory.
WORTH = 1.05
# Of the free memory of the machine, as much may be taken by one more doubling.
SHARE_OF_FREE = 0.5


def find_batch_tokens(add: Callable[[Batch], bool], lengths: Sequence[int], device: torch.device) -> int:
    """Double the size of a batch while that pays and fits.

    The longest examples are tried: no later batch takes more memory.

    Args:
        add: Computes a batch; False if memory did not suffice.
        lengths: Tokens of each example; may be empty.
        device: Where the model is.

    Returns:
        Tokens in a batch, padding included.
    """
    # Below the longest, twice the size is the same batch, of one example.
    first = max(FIRST, *lengths) if lengths else FIRST
    best, rate, tokens = first, 0.0, first
    while lengths and tokens <= max(sum(lengths), first):
        used = psutil.Process().memory_info().rss
        batch = next(Schedule(lengths, tokens))
        if not add(batch):
            return max(1, best)
        started = _now(device)
        if not add(batch):
            return max(1, best)
        reached = batch.tokens / (_now(device) - started)
        if reached < rate * WORTH:
            break
        best, rate = tokens, reached
        grown = psutil.Process().memory_info().rss - used
        if device.type == "cpu" and 2 * grown > SHARE_OF_FREE * psutil.virtual_memory().available:
            break
        tokens *= 2
    return best


def _now(device: torch.device) -> float:
    """Seconds, once the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
