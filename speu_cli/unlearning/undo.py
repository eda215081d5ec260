"""Put the slices of a mask back as they were, bit for bit, unless what was done is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from speu_cli.structures.entries import put, take
from speu_cli.structures.mask import Mask


@dataclass
class Saved:
    """Whether what was done stays."""

    kept: bool = False

    def keep(self) -> None:
        """Let it stay."""
        self.kept = True


@contextmanager
def saved_slices(model: nn.Module, mask: Mask) -> Iterator[Saved]:
    """Move a model within a mask for a while.

    Args:
        model: The model.
        mask: Nothing else of it may change.

    Yields:
        Is told to keep what was done.
    """
    before = [
        (
            parameter,
            axes,
            indices.to(parameter.device),
            take(parameter.detach(), axes, indices.to(parameter.device)),
        )
        for name, axes, indices in mask.slices()
        for parameter in [model.get_parameter(name)]
    ]
    saved = Saved()
    try:
        yield saved
    finally:
        if not saved.kept:
            with torch.no_grad():
                for parameter, axes, indices, values in before:
                    put(parameter, axes, indices, values)
