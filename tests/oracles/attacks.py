"""Rounding of weights, number by number, and AdamW on a few examples, written out."""

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


def rounded_row(row: list[float], largest: int, group: int) -> list[float]:
    """The row of one output, in groups of neighbouring inputs."""
    result = []
    for first in range(0, len(row), group):
        numbers = row[first : first + group]
        scale = max(abs(number) for number in numbers) / largest
        for number in numbers:
            result.append(0.0 if scale == 0 else round(number / scale) * scale)
    return result


def relearnt(model: nn.Module, losses_of, examples, *, steps: int, rate: float) -> None:
    """AdamW without decay on the mean loss of all examples, one example's gradient at a time, in place."""
    parameters = dict(model.named_parameters())
    mean = {name: torch.zeros_like(one) for name, one in parameters.items()}
    square = {name: torch.zeros_like(one) for name, one in parameters.items()}
    for step in range(1, steps + 1):
        gradients: dict[str, Tensor] = {name: torch.zeros_like(one) for name, one in parameters.items()}
        for example in examples:
            model.requires_grad_(True)
            found = torch.autograd.grad(losses_of(example), list(parameters.values()), materialize_grads=True)
            model.requires_grad_(False)
            for name, gradient in zip(parameters, found, strict=True):
                gradients[name] += gradient / len(examples)
        for name, parameter in parameters.items():
            mean[name] = BETAS[0] * mean[name] + (1 - BETAS[0]) * gradients[name]
            square[name] = BETAS[1] * square[name] + (1 - BETAS[1]) * gradients[name] ** 2
            corrected = mean[name] / (1 - BETAS[0] ** step)
            scale = (square[name] / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            parameter.sub_(rate * corrected / scale)
