"""AdamW on whole parameters, written out, with everything outside a mask held still."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


def masked_adamw(
    model: nn.Module,
    may_change: dict[str, Tensor],
    loss_at: Callable[[], Tensor],
    *,
    steps: int,
    rate: float,
    decay: Callable[[str], float],
    clip: float = math.inf,
) -> None:
    """Steps of AdamW in place; gradients, moments and decay are multiplied with the mask, entry by entry.

    Gradients whose norm, all together, is above ``clip`` are scaled down to it.
    """
    parameters = {name: model.get_parameter(name).requires_grad_(True) for name in may_change}
    mean = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    square = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for step in range(1, steps + 1):
        found = torch.autograd.grad(loss_at(), list(parameters.values()), materialize_grads=True)
        gradients = [
            gradient * may_change[name].to(gradient.dtype)
            for name, gradient in zip(parameters, found, strict=True)
        ]
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        gradients = [gradient * min(1.0, clip / (norm + 1e-6)) for gradient in gradients]
        with torch.no_grad():
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                inside = may_change[name].to(parameter.dtype)
                mean[name] = BETAS[0] * mean[name] + (1 - BETAS[0]) * gradient
                square[name] = BETAS[1] * square[name] + (1 - BETAS[1]) * gradient**2
                corrected = mean[name] / (1 - BETAS[0] ** step)
                scale = square[name].sqrt() / math.sqrt(1 - BETAS[1] ** step) + EPSILON
                shrunk = parameter * (1 - rate * decay(name) * inside)
                parameter.copy_(shrunk - rate * inside * corrected / scale)
    model.requires_grad_(False)
