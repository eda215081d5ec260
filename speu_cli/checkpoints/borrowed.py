"""A model whose weights may change for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def borrowed(model: PreTrainedModel) -> Iterator[None]:
    """Let a model's weights change, and put them back afterwards, bit for bit, whatever happens.

    Args:
        model: Any; a copy of its weights is kept in the machine's memory meanwhile.

    Yields:
        When they may change.
    """
    before = {name: one.detach().to("cpu", copy=True) for name, one in model.named_parameters()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(before[name])
