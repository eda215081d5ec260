"""Statistics by autograd, one example at a time, in float64."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout
from speu_cli.tasks.base import Loss
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.question_answering import Term


def example_gradients(
    model: PreTrainedModel,
    layout: Layout,
    task: Loss,
    encoded: Encoded,
    names: Iterable[str] | None = None,
) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """∂ℓ/∂θ and ∂ℓ/∂m of each example, m being explicit variables that scale the projections' inputs.

    θ are the named parameters; by default those that units own parts of.
    """
    model = model.double()
    masks = {group.key: torch.ones(group.count, dtype=torch.float64, requires_grad=True) for group in layout}
    names = layout.parameters if names is None else names
    parameters = {name: model.get_parameter(name).requires_grad_(True) for name in names}
    handles = [
        model.get_submodule(group.output).register_forward_pre_hook(_scale_by(masks[group.key], group.width))
        for group in layout
        if group.output is not None
    ]
    gradients = []
    try:
        for index in range(len(encoded)):
            with _scaled(model, layout, masks):
                loss = example_loss(model, task, encoded, index)
            wanted = [*parameters.values(), *masks.values()]
            found = torch.autograd.grad(loss, wanted, materialize_grads=True)
            of_parameters, of_masks = found[: len(parameters)], found[len(parameters) :]
            gradients.append(
                (dict(zip(parameters, of_parameters, strict=True)), dict(zip(masks, of_masks, strict=True)))
            )
    finally:
        for handle in handles:
            handle.remove()
        model.requires_grad_(False)
    return gradients


def example_loss(model: PreTrainedModel, task: Loss, encoded: Encoded, index: int) -> Tensor:
    """ℓ of one example, or a term of it; of windows their sum, each computed alone and without padding."""
    inputs, labels = encoded.collate([index])
    if encoded.windows is None:
        return task.losses(model(**inputs).logits, labels).sum()
    first = sum(encoded.windows[:index])
    total = torch.zeros((), dtype=torch.float64)
    shares = [float(task.place == place) for place in range(2)] if isinstance(task, Term) else [0.5, 0.5]
    for row, (start, end) in zip(
        encoded.rows[first : first + encoded.windows[index]], labels[0].tolist(), strict=True
    ):
        outputs = model(**{name: torch.tensor([values]) for name, values in row.items()})
        of_start, of_end = (
            logits[0].log_softmax(-1) for logits in (outputs.start_logits, outputs.end_logits)
        )
        total = total - (shares[0] * of_start[start] + shares[1] * of_end[end])
    return total


@contextmanager
def _scaled(model: nn.Module, layout: Layout, masks: dict[str, Tensor]) -> Iterator[None]:
    """Where no module has the filters as its input, the variables scale columns of the projection instead.

    W·(m ⊙ a) is (W·diag(m))·a.
    """
    taken = []
    for group in layout:
        if group.output is None:
            path, _, name = group.slices[-1].parameter.rpartition(".")
            module = model.get_submodule(path)
            weight = module._parameters.pop(name)
            assert weight is not None
            taken.append((module, name, weight))
            setattr(module, name, weight * masks[group.key].reshape(len(weight), 1, -1))
    try:
        yield
    finally:
        for module, name, weight in taken:
            delattr(module, name)
            module._parameters[name] = weight


def _scale_by(mask: Tensor, width: int) -> Callable[..., tuple[Tensor]]:
    return lambda _, args: (args[0] * mask.repeat_interleave(width),)


def statistics(
    model: PreTrainedModel,
    layout: Layout,
    task: Loss,
    encoded: Encoded,
    names: Iterable[str] | None = None,
) -> Statistics:
    """The sums, as Eq. 3 and Algorithm 1 have them."""
    names = list(layout.parameters if names is None else names)
    gradients = example_gradients(model, layout, task, encoded, names)
    return Statistics(
        count=len(encoded),
        fisher={name: sum(of_example[name] ** 2 for of_example, _ in gradients) for name in names},
        gradient={name: sum(of_example[name] for of_example, _ in gradients) for name in names},
        mask_gradient={group.key: sum(m[group.key] for _, m in gradients) for group in layout},
        mask_fisher={
            group.key: sum(torch.outer(m[group.key], m[group.key]) for _, m in gradients) for group in layout
        },
    )


def bent(y: Tensor) -> Tensor:
    """Not linear in y, and with a derivative of ½ at least: rounding of y is a small part of it."""
    return y + y.sin() / 2


def token_gradients(
    module: nn.Module, inputs: Tensor, weights: Tensor, lengths: Sequence[int]
) -> list[dict[str, Tensor]]:
    """∂/∂θ of Σ w ⊙ bent(y) of each token, y = module(x): of each example ``[tokens, *shape of θ]``, float64.

    An example's gradient is the sum over its tokens; inputs ``[n, t, …]`` and weights ``[n, t, out]`` past an
    example's length are not looked at.
    """
    module = deepcopy(module).double()
    parameters = dict(module.named_parameters())
    gradients = []
    for of_example, its_weights, length in zip(inputs, weights, lengths, strict=True):
        x = of_example.double() if of_example.is_floating_point() else of_example
        found: dict[str, list[Tensor]] = {name: [] for name in parameters}
        for t in range(length):
            loss = (its_weights[t].double() * bent(module(x[t : t + 1]))).sum()
            for name, gradient in zip(
                parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True
            ):
                found[name].append(gradient)
        gradients.append(
            {
                name: torch.stack(found[name]) if length else parameter.new_zeros(0, *parameter.shape)
                for name, parameter in parameters.items()
            }
        )
    return gradients
