"""How well examples are known without a part of the model: what was learnt by heart does not stand it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
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
        float64 ``[n]``, the same of the same examples each time; None without passes, and of a model without
        dropout.
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
    """Switch dropout on and nothing else that training changes, with random numbers of its own.

    Args:
        model: In eval mode.

    Yields:
        The parts that drop.
    """
    parts = [part for part in model.modules() if isinstance(part, nn.Dropout) and part.p > 0]
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        try:
            for part in parts:
                part.train()
            yield parts
        finally:
            for part in parts:
                part.eval()
