"""Biases, of every layer type that has one."""

from functools import partial

import torch
from torch import Tensor

from speu_cli.statistics.factors import Dense

# How many units in the last place of its terms a sum over positions may be off. A half type's unit is so
# large that one of them is what its rounding amounts to.
ROUNDING, ROUNDING_OF_HALF_TYPES = 64, 1
HALF_TYPE_BYTES = 2


def of_bias(deltas: Tensor, examples: int) -> Dense:
    """G_n = Σ_t δ_nt of a bias, as :func:`bias_gradients` has them, if they are asked for."""
    return Dense(partial(bias_gradients, deltas, examples))


def bias_gradients(deltas: Tensor, examples: int) -> Tensor:
    """G_n = Σ_t δ_nt.

    A sum over positions that rounding alone could have made counts as zero. The softmax does not see an
    attention key's bias, so its gradient is zero, and what is computed instead is noise; noise divided by
    its own square would be a huge step.

    Args:
        deltas: δ, ``[rows, out]``, zero at padding.
        examples: n.

    Returns:
        The gradients ``[n, out]``.
    """
    rounding = ROUNDING if deltas.dtype.itemsize > HALF_TYPE_BYTES else ROUNDING_OF_HALF_TYPES
    wide = deltas.reshape(examples, -1, deltas.shape[1]).to(torch.promote_types(deltas.dtype, torch.float32))
    gradients, sizes = wide.sum(1), wide.abs().sum(1)
    noise = rounding * torch.finfo(deltas.dtype).eps * sizes
    return torch.where(gradients.abs() > noise, gradients, 0.0)
