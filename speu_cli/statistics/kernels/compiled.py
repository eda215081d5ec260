"""The compiled loop over examples of ``_products.c``, where it was built and the processor can run it."""

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

# Rows to pack at a time, give or take an example: bounds the work space, and a panel stays in a core's cache.
ROWS = 2048
# Half types are widened first, which is exact; PyTorch's own products of them would round their sums.
INPUTS = (torch.float32, torch.bfloat16, torch.float16)


def fits(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor) -> bool:
    """Whether the compiled loop can do this: CPU, contiguous totals in float32, contiguous rows."""
    return (
        all(tensor.device.type == "cpu" for tensor in (squares, sums, inputs, deltas))
        and squares.dtype == sums.dtype == torch.float32
        and inputs.dtype in INPUTS
        and deltas.dtype in INPUTS
        and squares.shape == sums.shape == (deltas.shape[1], inputs.shape[1])
        and squares.is_contiguous()
        and sums.is_contiguous()
        and inputs.stride(1) == deltas.stride(1) == 1
        and _library() is not None
    )


def add_products(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor, spans: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n, G_n = Σ_t δ_t ⊗ a_t, to running totals; needs :func:`fits`.

    Args:
        squares: Is added Σ_n G_n², float32 ``[out, in]``.
        sums: Is added Σ_n G_n, likewise.
        inputs: a, ``[rows, in]``.
        deltas: δ, ``[rows, out]``.
        spans: First row and number of rows of each example, int64 ``[n, 2]``.

    Raises:
        RuntimeError: The loop was not built, or the processor cannot run it.
        IndexError: A span goes past the last row.
    """
    library = _library()
    if library is None:
        raise RuntimeError("the compiled loop is not there")
    spans = spans[spans[:, 1] > 0]
    if not spans.numel() or not squares.numel():
        return
    if int(spans[:, 0].min()) < 0 or int(spans.sum(1).max()) > min(len(inputs), len(deltas)):
        raise IndexError(f"a span is outside the {min(len(inputs), len(deltas))} rows")
    inputs, deltas = inputs.float(), deltas.float()
    groups = [(group, int(group[:, 1].sum())) for group in _groups(spans)]
    work = inputs.new_empty(max(library.work_size(*squares.shape, depth) for _, depth in groups))
    for group, depth in groups:
        library.add_products(
            *(squares.data_ptr(), sums.data_ptr(), *squares.shape),
            *(inputs.data_ptr(), inputs.stride(0), deltas.data_ptr(), deltas.stride(0)),
            *(group.data_ptr(), len(group), depth, work.data_ptr(), torch.get_num_threads()),
        )


def _groups(spans: Tensor) -> Sequence[Tensor]:
    """Runs of examples of about :data:`ROWS` rows together."""
    run = (spans[:, 1].cumsum(0) - 1) // ROWS
    counts: list[int] = run.unique_consecutive(return_counts=True)[1].tolist()
    return torch.split(spans, counts)


@cache
def _library() -> ctypes.CDLL | None:
    """The shared library; None where no compiler was at hand, or AVX-512 is missing."""
    built = find_spec("speu_cli.statistics.kernels._products")
    if built is None or built.origin is None:
        return None
    library = ctypes.CDLL(built.origin)
    if not library.usable():
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.work_size.argtypes = [number] * 3
    library.work_size.restype = number
    library.add_products.argtypes = [
        *(pointer, pointer, number, number),  # totals, and their shape
        *(pointer, number, pointer, number),  # inputs, deltas, each with its row stride
        *(pointer, number, number, pointer, ctypes.c_int),  # spans, examples, depth; work space, threads
    ]
    library.add_products.restype = None
    return library
