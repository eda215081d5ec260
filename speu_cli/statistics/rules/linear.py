"""Linear layers: Σ of per-example gradients and of their squares.

With inputs a ``[n, t, in]`` (examples, positions, features) and output gradients δ ``[n, t, out]`` the
gradient of example n is G_n = Σ_t δ_nt ⊗ a_nt, for the bias Σ_t δ_nt. No tensor of shape
``[n, out, in]`` is ever formed.
"""

import torch
from torch import Tensor

# How many units in the last place of its terms a sum over positions may be off.
ROUNDING = 64
# Entries of a weight that are worked on at a time: product and sum then stay in the processor's cache.
TILE = 1 << 17


def sum_weight_gradients(inputs: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_n G_n² and Σ_n G_n of a weight.

    Args:
        inputs: a, ``[n, t, in]``.
        deltas: δ, ``[n, t, out]``.

    Returns:
        Both sums, ``[out, in]``.
    """
    single = _single_positions(inputs, deltas)
    if single is not None:
        a, delta = single
        # One position: G_n = δ ⊗ a, so Σ_n G_n² = Σ_n δ² ⊗ a², a product of two matrices.
        return (delta**2).T @ a**2, delta.T @ a
    squares = inputs.new_zeros(deltas.shape[-1], inputs.shape[-1])
    sums = torch.zeros_like(squares)
    height = max(1, TILE // inputs.shape[-1])
    tiles = zip(
        squares.split(height), sums.split(height), deltas.transpose(1, 2).split(height, dim=1), strict=True
    )
    for squares_tile, sums_tile, delta in tiles:
        _add_examples(squares_tile, sums_tile, inputs, delta.contiguous())
    return squares, sums


def _add_examples(squares: Tensor, sums: Tensor, inputs: Tensor, deltas: Tensor) -> None:
    """Add G_n² and G_n = δ_n a_n to ``[rows, in]``, one by one; a is ``[n, t, in]``, δ ``[n, rows, t]``."""
    product = torch.empty_like(squares)
    for delta, a in zip(deltas.unbind(), inputs.unbind(), strict=True):
        torch.mm(delta, a, out=product)
        squares.addcmul_(product, product)
        sums.add_(product)  # cheaper than a second product over all examples: the first is in the cache


def sum_bias_gradients(deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_n (Σ_t δ_nt)² and Σ_n Σ_t δ_nt of a bias.

    A sum over positions that rounding alone could have made counts as zero. The softmax does not see an
    attention key's bias, so its gradient is zero, and what is computed instead is noise; noise divided by
    its own square would be a huge step.

    Args:
        deltas: δ, ``[n, t, out]``.

    Returns:
        Both sums, ``[out]``.
    """
    gradients, sizes = deltas.sum(1), deltas.abs().sum(1)
    gradients = torch.where(
        gradients.abs() > ROUNDING * torch.finfo(deltas.dtype).eps * sizes, gradients, 0.0
    )
    return (gradients**2).sum(0), gradients.sum(0)


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
