"""Linear layers: Σ of per-example gradients and of their squares.

With inputs a ``[n, t, in]`` (examples, positions, features) and output gradients δ ``[n, t, out]`` the
gradient of example n is G_n = Σ_t δ_nt ⊗ a_nt, for the bias Σ_t δ_nt. No tensor of shape
``[n, out, in]`` is ever formed.
"""

import torch
from torch import Tensor

from speu_cli.statistics.kernels import squares

# How many units in the last place of its terms a sum over positions may be off.
ROUNDING = 64
# Entries of a weight that one core works on at a time: product and sums then stay in its cache.
TILE = 1 << 17


def add_weight_gradients(fisher: Tensor, gradient: Tensor, inputs: Tensor, deltas: Tensor) -> None:
    """Add Σ_n G_n² and Σ_n G_n of a weight to running totals.

    Args:
        fisher: Is added Σ_n G_n², ``[out, in]``; may be of a wider type than the inputs.
        gradient: Is added Σ_n G_n, likewise.
        inputs: a, ``[n, t, in]``.
        deltas: δ, ``[n, t, out]``.
    """
    single = _single_positions(inputs, deltas)
    if single is not None:
        a, delta = single
        # One position: G_n = δ ⊗ a, so Σ_n G_n² = Σ_n δ² ⊗ a², a product of two matrices.
        fisher += (delta**2).T @ a**2
        gradient += delta.T @ a
    elif squares.fits(fisher, gradient, inputs, deltas):
        squares.add_squares(fisher, gradient, inputs, deltas)
    else:
        _add_in_tiles(fisher, gradient, inputs, deltas)


def _add_in_tiles(fisher: Tensor, gradient: Tensor, inputs: Tensor, deltas: Tensor) -> None:
    """:func:`add_weight_gradients` in PyTorch alone."""
    height = _tile_height(fisher)
    work = inputs.new_empty(3, min(height, len(fisher)), inputs.shape[-1])
    tiles = zip(
        fisher.split(height), gradient.split(height), deltas.transpose(1, 2).split(height, dim=1), strict=True
    )
    for fisher_tile, gradient_tile, delta in tiles:
        of_squares, sums, product = work[:, : len(fisher_tile)].unbind()
        _sum_examples(of_squares, sums, product, inputs, delta.contiguous())
        fisher_tile.add_(of_squares)
        gradient_tile.add_(sums)


def _tile_height(weight: Tensor) -> int:
    """Rows of a weight to work on at a time; all of them where there is no processor cache to fit."""
    if weight.device.type != "cpu":
        return len(weight)
    return max(1, TILE * torch.get_num_threads() // weight.shape[1])


def _sum_examples(squares: Tensor, sums: Tensor, product: Tensor, inputs: Tensor, deltas: Tensor) -> None:
    """Σ_n G_n² and Σ_n G_n, G_n = δ_n a_n, into ``[rows, in]``; a is ``[n, t, in]``, δ ``[n, rows, t]``."""
    squares.zero_()
    sums.zero_()
    for delta, a in zip(deltas.unbind(), inputs.unbind(), strict=True):
        torch.mm(delta, a, out=product)
        squares.addcmul_(product, product)
        sums.add_(product)  # cheaper than a second product over all examples: the first is in the cache


def add_bias_gradients(fisher: Tensor, gradient: Tensor, deltas: Tensor) -> None:
    """Add Σ_n (Σ_t δ_nt)² and Σ_n Σ_t δ_nt of a bias to running totals.

    A sum over positions that rounding alone could have made counts as zero. The softmax does not see an
    attention key's bias, so its gradient is zero, and what is computed instead is noise; noise divided by
    its own square would be a huge step.

    Args:
        fisher: Is added the sum of squares, ``[out]``.
        gradient: Is added the sum, likewise.
        deltas: δ, ``[n, t, out]``.
    """
    gradients, sizes = deltas.sum(1), deltas.abs().sum(1)
    gradients = torch.where(
        gradients.abs() > ROUNDING * torch.finfo(deltas.dtype).eps * sizes, gradients, 0.0
    )
    fisher += (gradients**2).sum(0)
    gradient += gradients.sum(0)


def _single_positions(inputs: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor] | None:
    """Find the one position of each example where δ is not zero, as where a model reads one position.

    Returns:
        a ``[n, in]`` and δ ``[n, out]`` at these positions; None if an example has more of them.
    """
    if int(deltas[0].any(-1).sum()) > 1:
        return None
    active = deltas.any(-1)
    if int(active.sum(1).max()) > 1:
        return None
    rows, positions = torch.arange(len(deltas), device=deltas.device), active.int().argmax(1)
    return inputs[rows, positions], deltas[rows, positions]
