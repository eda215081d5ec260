"""Σ of per-example products and of their squares on a GPU, in one launch of a Triton kernel."""

import os
import shutil
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
# Rows that are multiplied at a time, most at last; more of float32 than 32 do not fit into the registers.
CHUNKS, FLOAT32_CHUNKS = (16, 32, 64), (16, 32)
# What beginning a chunk costs, in rows that could have been multiplied instead. An estimate.
CHUNK_COST = 16
# Tensor cores for bfloat16 and TF32, as of Ampere.
OLDEST = (8, 0)


def fits(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor) -> bool:
    """Whether the kernel can do this: a GPU with Triton, contiguous totals in float32, one type of inputs."""
    tensors = (squares, sums, inputs, deltas)
    return (
        all(tensor.device.type == "cuda" and tensor.device == squares.device for tensor in tensors)
        and squares.dtype == sums.dtype == torch.float32
        and squares.is_contiguous()
        and sums.is_contiguous()
        and inputs.dtype == deltas.dtype
        and inputs.dtype in DTYPES
        and inputs.stride(-1) == deltas.stride(-1) == 1
        and _runs_on(squares.device)
    )


def add_products(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor, spans: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n, G_n = Σ_t δ_t ⊗ a_t over the rows of example n; needs :func:`fits`.

    The first call of a shape tries several tilings, which takes seconds; Triton's cache keeps the best.
    Under Triton's interpreter (``TRITON_INTERPRET=1``) tensors on the CPU will do as well.

    Args:
        squares: Is added Σ_n G_n², float32 ``[out, in]``, contiguous.
        sums: Is added Σ_n G_n, likewise.
        inputs: a, ``[rows, in]``, of all examples one after the other, padding included.
        deltas: δ, ``[rows, out]``, likewise.
        spans: First row and number of rows of each example, int64 ``[n, 2]``, on the CPU; a length may be 0.
    """
    from triton import cdiv

    from speu_cli.statistics.kernels.triton_kernel import add_chunks

    rows = best_chunk(spans[:, 1], FLOAT32_CHUNKS if inputs.dtype == torch.float32 else CHUNKS)
    chunks = pack_chunks(spans, rows)
    if not len(chunks):
        return
    height, width = squares.shape

    def grid(blocks: dict[str, int]) -> tuple[int]:
        return (cdiv(height, blocks["BLOCK_OUT"]) * cdiv(width, blocks["BLOCK_IN"]),)

    strides = inputs.stride(0), deltas.stride(0)
    with torch.cuda.device_of(squares):
        where = chunks.to(squares.device)
        add_chunks[grid](
            squares, sums, inputs, deltas, where, len(chunks), height, width, *strides, BLOCK_T=rows
        )


def best_chunk(lengths: Tensor, sizes: tuple[int, ...] = CHUNKS) -> int:
    """The size of chunk that wastes the least: large ones multiply zeros, small ones begin often."""
    return min(sizes, key=lambda size: int(_number_of_chunks(lengths, size).sum()) * (size + CHUNK_COST))


def pack_chunks(spans: Tensor, rows: int) -> Tensor:
    """Cut examples into chunks of so many rows at most.

    Args:
        spans: First row and number of rows of each example, int64 ``[n, 2]``.
        rows: Size of a chunk.

    Returns:
        first row << 16 | number of rows << 1 | whether its example ends here, int64 ``[chunks]``.
    """
    first, length = spans.unbind(1)
    counts = _number_of_chunks(length, rows)
    ends = counts.cumsum(0)
    before = torch.arange(int(counts.sum()), device=spans.device) - (ends - counts).repeat_interleave(counts)
    starts = before * rows
    left = length.repeat_interleave(counts) - starts
    places = first.repeat_interleave(counts) + starts
    return places << 16 | left.clamp(max=rows) << 1 | (left <= rows)


def _number_of_chunks(lengths: Tensor, rows: int) -> Tensor:
    return (lengths + rows - 1) // rows


@cache
def _runs_on(device: torch.device) -> bool:
    """Whether Triton is there, with the C compiler that it needs, and the GPU has its tensor cores."""
    return (
        find_spec("triton") is not None
        and find_spec("triton.knobs") is not None  # as of 3.4
        and torch.version.hip is None
        and bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
        and torch.cuda.get_device_capability(device) >= OLDEST
    )
