"""The GPU's loop over examples, in Triton. Import it late: Triton is heavy, and not everywhere.

A program owns one tile of the weight. It walks through the chunks of all examples, one after the other, and
keeps three tiles in registers: the current example's product, Σ_n G_n² and Σ_n G_n. An entry of the weight
has one owner, so nothing is added atomically, and the order of every sum is fixed.
"""

import triton
import triton.language as tl
from triton import Config, knobs

# Height and width of a tile, and its warps. Three tiles of accumulators fill the registers: 128 × 128 is the
# largest that they hold. The small ones are for weights with fewer tiles than the GPU has multiprocessors.
SHAPES = ((64, 32, 4), (64, 64, 4), (64, 128, 8), (128, 64, 8), (128, 128, 8), (128, 128, 16))
# Three chunks under way: the compiler halves the stages, since a chunk's place is itself loaded.
STAGES = 5
# The interpreter is slow and has nothing to tune: blocks so small that small weights have several.
INTERPRETED = ((16, 32, 1),)
# And it would multiply the bits of bfloat16 as if they were integers.
WIDEN = tl.constexpr(knobs.runtime.interpret)


def _configs() -> list[Config]:
    shapes = INTERPRETED if knobs.runtime.interpret else SHAPES
    return [
        Config({"BLOCK_OUT": height, "BLOCK_IN": width}, num_warps=warps, num_stages=STAGES)
        for height, width, warps in shapes
    ]


@triton.autotune(  # type: ignore[untyped-decorator]
    configs=_configs(),
    key=["height", "width", "BLOCK_T"],  # and, without being named, the types of the tensors
    restore_value=["squares", "sums"],  # what is run to be timed must not be counted
    cache_results=True,  # each command is a process of its own: what one found the next one takes
)
@triton.jit(do_not_specialize=["count"])  # type: ignore[untyped-decorator]
def add_chunks(  # noqa: PLR0913, PLR0917 - a kernel takes pointers, sizes and strides one by one
    squares: tl.tensor,
    sums: tl.tensor,
    inputs: tl.tensor,
    deltas: tl.tensor,
    chunks: tl.tensor,
    count: int,
    height: int,
    width: int,
    inputs_stride: int,
    deltas_stride: int,
    BLOCK_T: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
) -> None:
    """Add Σ_n G_n² and Σ_n G_n to one tile of the totals.

    Args:
        squares: Is added Σ_n G_n², float32 ``[height, width]``, contiguous.
        sums: Is added Σ_n G_n, likewise.
        inputs: a, ``[rows, width]``, its rows ``inputs_stride`` apart.
        deltas: δ, ``[rows, height]``, its rows ``deltas_stride`` apart.
        chunks: Up to BLOCK_T rows of one example each, in order, int64 ``[count]``:
            first row << 16 | number of rows << 1 | whether the example ends. One load instead of three.
        count: Number of chunks.
        height: Output features.
        width: Input features.
        inputs_stride: Elements from one row of ``inputs`` to the next.
        deltas_stride: Elements from one row of ``deltas`` to the next.
        BLOCK_T: Rows of a chunk at most, a power of two, 16 at least.
        BLOCK_OUT: Height of a tile.
        BLOCK_IN: Width of a tile.
    """
    tiles_out, tiles_in = tl.cdiv(height, BLOCK_OUT), tl.cdiv(width, BLOCK_IN)
    program = tl.program_id(0)
    # Programs that run at a time share columns of δ and of a in the second-level cache.
    tile_out, tile_in = tl.swizzle2d(program // tiles_in, program % tiles_in, tiles_out, tiles_in, 8)
    rows = tile_out * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    columns = tile_in * BLOCK_IN + tl.arange(0, BLOCK_IN)
    positions = tl.arange(0, BLOCK_T)
    product = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    tile_squares = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    tile_sums = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    # One loop over the chunks of all examples, not one in another: the loads run ahead across examples too.
    for chunk in range(count):
        packed = tl.load(chunks + chunk)
        first, length, ends = packed >> 16, (packed >> 1) & 0x7FFF, packed & 1
        inside = (positions < length)[:, None]
        delta = tl.load(
            deltas + first * deltas_stride + positions[:, None] * deltas_stride + rows[None, :],
            mask=inside & (rows < height)[None, :],
            other=0.0,
        )
        a = tl.load(
            inputs + first * inputs_stride + positions[:, None] * inputs_stride + columns[None, :],
            mask=inside & (columns < width)[None, :],
            other=0.0,
        )
        if WIDEN:
            delta, a = delta.to(tl.float32), a.to(tl.float32)
        # Heeded for float32 alone: one TF32 product is off by 1e-3, three of the values' halves are not.
        product = tl.dot(tl.trans(delta), a, product, input_precision="tf32x3")
        if ends != 0:
            tile_squares += product * product
            tile_sums += product
            product = tl.zeros((BLOCK_OUT, BLOCK_IN), tl.float32)
    entries = rows.to(tl.int64)[:, None] * width + columns[None, :]
    in_weight = (rows < height)[:, None] & (columns < width)[None, :]
    tl.store(squares + entries, tl.load(squares + entries, mask=in_weight) + tile_squares, mask=in_weight)
    tl.store(sums + entries, tl.load(sums + entries, mask=in_weight) + tile_sums, mask=in_weight)
