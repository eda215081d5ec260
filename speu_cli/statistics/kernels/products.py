"""Σ of per-example products and of their squares: the fastest way that the tensors' device offers."""

from torch import Tensor

from speu_cli.statistics.kernels import compiled, tiles, triton_products


def add_products(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor, spans: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n, G_n = Σ_t δ_t ⊗ a_t over the rows of example n, to running totals.

    Args:
        squares: Is added Σ_n G_n², float32 or float64 ``[out, in]``, contiguous.
        sums: Is added Σ_n G_n, likewise.
        inputs: a, ``[rows, in]``, of all examples one after the other, padding included.
        deltas: δ, ``[rows, out]``, likewise.
        spans: First row and number of rows of each example, int64 ``[n, 2]``, on the CPU; a length may be 0.
    """
    for way in (compiled, triton_products):
        if way.fits(squares, sums, inputs, deltas):
            way.add_products(squares, sums, inputs, deltas, spans)
            return
    tiles.add_products(squares, sums, inputs, deltas, spans)
