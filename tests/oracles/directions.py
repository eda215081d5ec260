"""Coherent directions by autograd, one example at a time, and steps by the curvature as a dense matrix."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from oracles.statistics import example_loss
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded


def standing(model: PreTrainedModel, task: Task, encoded: Encoded, index: int) -> Tensor:
    """What the model says of one number, or the log-odds of a true answer of probability exp(−ℓ)."""
    if task.name == "regression":
        inputs, _ = encoded.collate([index])
        return model(**inputs).logits[0, 0]
    p = torch.exp(-example_loss(model, task, encoded, index))
    return torch.log(p / (1 - p))


def part_in(kind: str, count: int, label: int, key: int) -> list[float]:
    """The weights of an example, one a direction."""
    if kind == "classes":
        return [float(k == label) for k in range(count)]
    return [1.0] + [-1.0 if key // 2**k % 2 else 1.0 for k in range(count - 1)]


def directions(
    model: PreTrainedModel,
    task: Task,
    encoded: Encoded,
    names: Iterable[str],
    kind: str,
    count: int,
    members: Sequence[int],
) -> tuple[dict[str, Tensor], Tensor]:
    """U, by parameter name, and the totals of the weights."""
    parameters = {name: model.get_parameter(name).requires_grad_(True) for name in names}
    sums = {name: torch.zeros(count, *one.shape, dtype=one.dtype) for name, one in parameters.items()}
    totals = torch.zeros(count, dtype=torch.float64)
    try:
        for index in members:
            q = standing(model, task, encoded, index)
            gradients = torch.autograd.grad(q, list(parameters.values()), materialize_grads=True)
            label = int(encoded.labels[index]) if kind == "classes" else 0
            for k, s in enumerate(part_in(kind, count, label, int(encoded.keys[index]))):
                totals[k] += abs(s)
                for name, gradient in zip(parameters, gradients, strict=True):
                    sums[name][k] += s * gradient
    finally:
        model.requires_grad_(False)
    return sums, totals


def dense_step(gradient: Tensor, diagonal: Tensor, along: Tensor, stiffness: float) -> Tensor:
    """C⁻¹g, C = P + Σ_k w_k ū_k ū_kᵀ with w_k·ū_kᵀP⁻¹ū_k = s, all of them flat; ū ``[K, n]``."""
    curvature = torch.diag(diagonal)
    for u in along:
        curvature = curvature + stiffness / (u @ (u / diagonal)) * torch.outer(u, u)
    return torch.linalg.inv(curvature) @ gradient
