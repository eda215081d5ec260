"""Parameters that no rule covers: autograd, exactly, one example at a time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.statistics.steps import Step
from speu_cli.tasks.base import Loss


def example_gradients(
    model: PreTrainedModel, task: Loss, step: Step, names: Collection[str]
) -> Iterator[dict[str, Tensor]]:
    """∂ℓ/∂θ of each example of a batch.

    Args:
        model: The model.
        task: Gives the loss.
        step: The batch.
        names: Parameters to differentiate.

    Yields:
        Gradients by name, one example after the other.
    """
    for k in range(len(step.ids)):
        with differentiable(model, names) as parameters, torch.enable_grad():
            loss = step.example(k).losses(model, task).sum()
            wanted = list(parameters.values())
            found = (
                torch.autograd.grad(loss, wanted, materialize_grads=True)
                if loss.requires_grad
                else map(torch.zeros_like, wanted)  # none of them leads to the loss
            )
        yield dict(zip(parameters, found, strict=True))


@contextmanager
def differentiable(model: nn.Module, names: Collection[str]) -> Iterator[dict[str, nn.Parameter]]:
    """Let parameters require gradients for a while.

    Args:
        model: The model; none of its parameters requires gradients.
        names: Of the parameters.

    Yields:
        The parameters by name.
    """
    parameters = {name: model.get_parameter(name) for name in names}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        yield parameters
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None
