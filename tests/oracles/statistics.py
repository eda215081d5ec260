"""Statistics by autograd, one example at a time, in float64."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoding import Encoded


def example_gradients(
    model: PreTrainedModel, layout: Layout, task: Task, encoded: Encoded
) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """∂ℓ/∂θ and ∂ℓ/∂m of each example, m being explicit variables that scale the projections' inputs."""
    model = model.double()
    masks = {group.key: torch.ones(group.count, dtype=torch.float64, requires_grad=True) for group in layout}
    parameters = {name: model.get_parameter(name).requires_grad_(True) for name in layout.parameters}
    handles = [
        model.get_submodule(group.output).register_forward_pre_hook(_scale_by(masks[group.key], group.width))
        for group in layout
    ]
    gradients = []
    try:
        for index in range(len(encoded)):
            inputs, labels = encoded.collate([index])
            loss = task.losses(model(**inputs).logits, labels).sum()
            found = torch.autograd.grad(loss, [*parameters.values(), *masks.values()])
            of_parameters, of_masks = found[: len(parameters)], found[len(parameters) :]
            gradients.append(
                (dict(zip(parameters, of_parameters, strict=True)), dict(zip(masks, of_masks, strict=True)))
            )
    finally:
        for handle in handles:
            handle.remove()
        model.requires_grad_(False)
    return gradients


def _scale_by(mask: Tensor, width: int) -> Callable[..., tuple[Tensor]]:
    return lambda _, args: (args[0] * mask.repeat_interleave(width),)


def statistics(model: PreTrainedModel, layout: Layout, task: Task, encoded: Encoded) -> Statistics:
    """The sums, as Eq. 3 and Algorithm 1 have them."""
    gradients = example_gradients(model, layout, task, encoded)
    return Statistics(
        count=len(encoded),
        fisher={
            name: sum(of_example[name] ** 2 for of_example, _ in gradients) for name in layout.parameters
        },
        gradient={name: sum(of_example[name] for of_example, _ in gradients) for name in layout.parameters},
        mask_gradient={group.key: sum(m[group.key] for _, m in gradients) for group in layout},
        mask_fisher={
            group.key: sum(torch.outer(m[group.key], m[group.key]) for _, m in gradients) for group in layout
        },
    )
