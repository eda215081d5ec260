"""Running sums that a million additions do not wear out, in single precision."""

import torch
from torch import Tensor

# Additions to the small part between two foldings.
ADDITIONS = 32
PIECE = 2**20


class Total:
    """A sum kept as two tensors: its value, and the small part that came since or that rounding left over.

    What is added goes to the small part. Now and then :meth:`fold` moves it into the value by an exact
    two-sum (Knuth, TAOCP 2, 4.2.2), whose rounding error stays behind in the small part. So the error grows
    with the additions between two foldings and not with their number, and memory traffic is that of a plain
    float32 sum. Measured in ``docs/scaling.md``.

    Args:
        shape: Of the sum.
        dtype: float32 or float64.
        device: Where it is.
    """

    def __init__(self, shape: torch.Size | tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.value = torch.zeros(shape, dtype=dtype, device=device)
        self.small = torch.zeros(shape, dtype=dtype, device=device)

    def fold(self) -> None:
        """Move the small part into the value; what the addition rounds off stays in the small part."""
        # In pieces: a pass may fold where memory is fullest, and needs no room for another sum.
        values, smalls = self.value.view(-1), self.small.view(-1)
        for start in range(0, len(values), PIECE):
            _two_sum(values[start : start + PIECE], smalls[start : start + PIECE])

    def result(self, dtype: torch.dtype) -> Tensor:
        """The sum, on the CPU."""
        if dtype == self.value.dtype:
            self.fold()
            return self.value.cpu()
        return self.value.to("cpu", dtype) + self.small.to("cpu", dtype)


def _two_sum(value: Tensor, small: Tensor) -> None:
    total = value + small
    moved = total - value
    small -= moved
    value -= total - moved
    small += value
    value.copy_(total)
