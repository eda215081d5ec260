"""The compiled loop over examples of ``_squares.c``, where it was built and the processor can run it."""

import ctypes
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

# The blocks that the loop works on.
ROWS, COLUMNS = 8, 32


def fits(fisher: Tensor, gradient: Tensor, inputs: Tensor, deltas: Tensor) -> bool:
    """Whether the compiled loop can do this: float32 on the processor, contiguous totals in float64."""
    return (
        all(tensor.device.type == "cpu" for tensor in (fisher, gradient, inputs, deltas))
        and inputs.dtype == deltas.dtype == torch.float32
        and fisher.dtype == gradient.dtype == torch.float64
        and fisher.is_contiguous()
        and gradient.is_contiguous()
        and _library() is not None
    )


def add_squares(fisher: Tensor, gradient: Tensor, inputs: Tensor, deltas: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n, G_n = Σ_t δ_nt ⊗ a_nt, to running totals; needs :func:`fits`.

    Args:
        fisher: Is added Σ_n G_n², float64 ``[out, in]``, contiguous.
        gradient: Is added Σ_n G_n, likewise.
        inputs: a, float32 ``[n, t, in]``.
        deltas: δ, float32 ``[n, t, out]``.

    Raises:
        RuntimeError: The loop was not built, or the processor cannot run it.
    """
    library = _library()
    if library is None:
        raise RuntimeError("the compiled loop is not there")
    (n, t, width), height = inputs.shape, deltas.shape[-1]
    a, delta = _in_blocks(inputs, COLUMNS), _in_blocks(deltas, ROWS)
    pointers = (tensor.data_ptr() for tensor in (a, delta, fisher, gradient))
    library.add_squares(*pointers, n, t, width, height)


def _in_blocks(values: Tensor, size: int) -> Tensor:
    """``[n, t, width]`` as ``[width/size, n·t, size]``, zeros behind the end."""
    padded: Tensor = functional.pad(values.flatten(0, 1), (0, -values.shape[-1] % size))
    return padded.view(len(padded), -1, size).transpose(0, 1).contiguous()


@cache
def _library() -> ctypes.CDLL | None:
    """The shared library; None where no compiler was at hand, or AVX-512 is missing."""
    built = find_spec("speu_cli.statistics.kernels._squares")
    if built is None or built.origin is None:
        return None
    library = ctypes.CDLL(built.origin)
    if not library.usable():
        return None
    library.add_squares.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 4
    library.add_squares.restype = None
    return library
