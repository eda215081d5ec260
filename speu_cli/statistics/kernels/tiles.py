"""Σ of per-example products and of their squares in PyTorch alone, on any device and in any type."""

import torch
from torch import Tensor

# Entries of a weight that one core works on at a time: product and sums then stay in its cache.
TILE = 1 << 17


def add_products(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor, spans: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n, G_n = Σ_t δ_t ⊗ a_t, to running totals.

    Args:
        squares: Is added Σ_n G_n², ``[out, in]``; products are in its type, or the inputs' if wider.
        sums: Is added Σ_n G_n, likewise.
        inputs: a, ``[rows, in]``.
        deltas: δ, ``[rows, out]``.
        spans: First row and number of rows of each example, int64 ``[n, 2]``.
    """
    dtype = torch.promote_types(torch.promote_types(inputs.dtype, deltas.dtype), squares.dtype)
    examples = [
        (inputs[first : first + length].to(dtype), deltas[first : first + length].to(dtype).T)
        for first, length in spans.tolist()
        if length
    ]
    height = _tile_height(squares)
    work = squares.new_empty(3, min(height, len(squares)), squares.shape[1], dtype=dtype)
    for top in range(0, len(squares), height):
        tile = slice(top, top + height)
        of_squares, of_sums, product = work[:, : len(squares[tile])].unbind()
        of_squares.zero_()
        of_sums.zero_()
        for a, delta in examples:
            torch.mm(delta[tile], a, out=product)
            of_squares.addcmul_(product, product)
            of_sums.add_(
                product
            )  # cheaper than a second product over all examples: the first is in the cache
        squares[tile].add_(of_squares)
        sums[tile].add_(of_sums)


def _tile_height(weight: Tensor) -> int:
    """Rows of a weight to work on at a time; all of them where there is no processor cache to fit."""
    if weight.device.type != "cpu":
        return max(1, len(weight))
    return max(1, TILE * torch.get_num_threads() // max(1, weight.shape[1]))
