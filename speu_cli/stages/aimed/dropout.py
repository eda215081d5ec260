"""How well examples are known without a part of the model: what was learnt by heart does not stand it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats


def margins_with_dropout(session: Session, encoded: Encoded, passes: int) -> Floats | None:
    """Mean margins over passes with dropout (Gal and Ghahramani 2016); attention weights are not dropped.

    Args:
        session: The model.
        encoded: The examples.
        passes: How many.

    Returns:
        float64 ``[n]``, with the same parts dropped each time and wherever it runs, batch by batch; None
        without passes, and of a model without dropout.
    """
    total = np.zeros(len(encoded))
    with _dropout(session.checkpoint.model) as parts:
        if not passes or not parts:
            return None
        for one in range(passes):
            losses = session.losses(encoded, f"pass {one + 1} of {passes} with dropout")
            total += session.task.margins.of(losses)
    return total / passes


@contextmanager
def _dropout(model: PreTrainedModel) -> Iterator[list[nn.Dropout]]:
    """Let the parts drop that drop in training, and change nothing else that training changes.

    PyTorch does not promise the same numbers on another platform or device, even with one seed.

    Args:
        model: In eval mode.

    Yields:
        The parts that drop.
    """
    parts = [part for part in model.modules() if isinstance(part, nn.Dropout) and part.p > 0]
    numbers = torch.Generator().manual_seed(0)

    def drop(kept: float, part: nn.Module, given: object, output: Tensor) -> Tensor:
        stays = torch.rand(output.shape, generator=numbers, dtype=torch.float64) < kept
        return output * (stays.to(output) / kept)

    hooks = [part.register_forward_hook(partial(drop, 1 - part.p)) for part in parts]
    try:
        yield parts
    finally:
        for hook in hooks:
            hook.remove()
