"""Entries of a tensor by their numbers along one axis, or along several axes counted together.

Along one axis they are what ``index_select`` gives. Along several, which begin with the tensor's first,
entry ``(i, k)`` of axes of lengths ``[m, n]`` has the number ``i·n + k``; taken out, the entries stand along
the first of the axes, and the others have length 1: what is taken has as many axes as the whole.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Axes = tuple[int, ...]


def take(tensor: Tensor, axes: Axes, indices: Tensor) -> Tensor:
    """The entries with these numbers.

    Args:
        tensor: Any.
        axes: That the numbers count, ascending.
        indices: The numbers, int64, on the tensor's device.

    Returns:
        A copy of the entries, shaped as :func:`taken_shape` says.
    """
    if len(axes) == 1:
        return tensor.index_select(axes[0], indices)
    taken = tensor[_places(tensor.shape, axes, indices)]
    for axis in axes[1:]:
        taken = taken.unsqueeze(axis)
    return taken


def put(tensor: Tensor, axes: Axes, indices: Tensor, values: Tensor) -> None:
    """Overwrite the entries with these numbers, in place.

    Args:
        tensor: Any.
        axes: As of :func:`take`.
        indices: Likewise.
        values: As :func:`take` gave them.
    """
    if len(axes) == 1:
        tensor.index_copy_(axes[0], indices, values)
    else:
        tensor[_places(tensor.shape, axes, indices)] = values.squeeze(axes[1:])


def taken_shape(shape: Sequence[int], axes: Axes, count: int) -> torch.Size:
    """The shape that so many entries of a tensor have."""
    taken = list(shape)
    for axis in axes[1:]:
        taken[axis] = 1
    taken[axes[0]] = count
    return torch.Size(taken)


def _places(shape: Sequence[int], axes: Axes, indices: Tensor) -> tuple[slice | Tensor, ...]:
    places: list[slice | Tensor] = [slice(None)] * len(shape)
    for axis in reversed(axes):
        places[axis] = indices % shape[axis]
        indices = indices // shape[axis]
    return tuple(places)
