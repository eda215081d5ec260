"""Before a pass: does the model give the same loss twice, and do the rules agree with autograd on it?

A rule knows its layer type, not what a model does around the layer. So the gradients of two examples are
compared with autograd's, parameter by parameter, before anything is summed.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.statistics.by_autograd import differentiable
from speu_cli.statistics.factors import Factor
from speu_cli.statistics.listening import Heard, Listener
from speu_cli.statistics.rules.bias import HALF_TYPE_BYTES
from speu_cli.statistics.steps import Step
from speu_cli.tasks.base import Loss

SHOWN = 5
# Losses of one batch may differ by rounding where a device adds in no fixed order.
SAME_LOSS = 1e-4
# A wrong rule is off by the size of the gradient itself; rounding is not, in a half type by a part of it.
SAME_GRADIENT, SAME_GRADIENT_OF_HALF_TYPES = 0.02, 0.3
# Smaller than this share of the largest gradient, one is taken for the rounding noise of zero; in a half type
# smaller than its unit in the last place, if that is more: so large an attention key's bias may come out.
NOISE = 1e-4
# A GPU's attention may multiply in TF32, whatever is asked of matrix products: this is its unit there.
NOISE_OF_GPUS = 2**-10


def check_dropout(model: nn.Module) -> None:
    """Refuse a model that is not in eval mode.

    Args:
        model: The model.

    Raises:
        ArtifactError: Modules are in training mode.
    """
    training = [name or type(module).__name__ for name, module in model.named_modules() if module.training]
    if training:
        dropout = [name for name in training if "drop" in name.lower()] or training
        raise ArtifactError(
            f"{len(training)} modules of the model are in training mode, expected dropout off: "
            f"{', '.join(dropout[:SHOWN])}",
            hint="call model.eval() first",
        )


def check_rules(model: PreTrainedModel, task: Loss, listener: Listener, step: Step) -> set[str]:
    """Compare the gradients that the rules give with autograd's.

    Args:
        model: The model.
        task: Gives the loss.
        listener: Attached to the model.
        step: One or two examples.

    Returns:
        Parameters with gradients that no module was heard to use: autograd has to differentiate them.

    Raises:
        ArtifactError: The model gives two losses for one example, or a rule does not fit it.
    """
    factors: dict[str, Factor] = {}
    heard = Heard(factors.__setitem__, lambda *_: None)
    with torch.enable_grad(), listener.hearing(step.spans, step.positions, heard, windows=step.windows):
        losses = step.losses(model, task)
        if losses.requires_grad:
            losses.sum().backward()
    with torch.no_grad():
        _require_same_losses(losses.detach(), step.losses(model, task), step.ids)
    differences: dict[str, tuple[float, float]] = {}
    for k in range(len(step.ids)):
        for name, (size, difference) in _differences(model, task, listener, step, factors, k).items():
            before = differences.get(name, (0.0, 0.0))
            differences[name] = max(size, before[0]), max(difference, before[1])
    return _judge(differences, set(factors), model)


def _require_same_losses(once: Tensor, again: Tensor, ids: list[str]) -> None:
    differs = (once - again).abs() > SAME_LOSS * (1 + once.abs())
    if differs.any():
        k = int(differs.int().argmax())
        raise ArtifactError(
            f"the model gives two losses for example {ids[k]!r} of one batch: {float(once[k]):.6g} and "
            f"{float(again[k]):.6g}, expected the same",
            hint="a part of it is random: switch it off in config.json",
        )


def _differences(
    model: PreTrainedModel, task: Loss, listener: Listener, step: Step, factors: dict[str, Factor], k: int
) -> dict[str, tuple[float, float]]:
    """Norm of example k's gradient of each parameter, and of its difference from the factor's."""
    found: dict[str, tuple[float, float]] = {}

    def compare(name: str, parameter: nn.Parameter) -> None:
        gradient = parameter.grad
        parameter.grad = None  # one at a time: all of them would take as much room as the model
        if gradient is not None:
            wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
            expected = factors[name].of_example(k) if name in factors else torch.zeros_like(wide)
            found[name] = float(wide.norm()), float((wide - expected).norm())

    with differentiable(model, listener.parameters) as parameters, torch.enable_grad():
        handles = [
            parameter.register_post_accumulate_grad_hook(_named(compare, name))
            for name, parameter in parameters.items()
        ]
        try:
            loss = step.example(k).losses(model, task).sum()
            if loss.requires_grad:
                loss.backward()
        finally:
            for handle in handles:
                handle.remove()
    return found


def _named(compare: Callable[[str, nn.Parameter], None], name: str) -> Callable[[Tensor], None]:
    return partial(compare, name)


def _judge(differences: dict[str, tuple[float, float]], heard: set[str], model: PreTrainedModel) -> set[str]:
    """Tell which parameters autograd has to differentiate.

    Returns:
        Those that no module was heard to use, though they have a gradient.

    Raises:
        ArtifactError: A rule gives another gradient than autograd.
    """
    largest = max((size for size, _ in differences.values()), default=0.0)
    dtype = model.dtype
    same = SAME_GRADIENT if dtype.itemsize > HALF_TYPE_BYTES else SAME_GRADIENT_OF_HALF_TYPES
    least = NOISE_OF_GPUS if model.device.type == "cuda" else NOISE
    noise = max(least, torch.finfo(dtype).eps) * largest
    # Not «gap > …»: a gap that is no number is no agreement.
    off = {name for name, (size, gap) in differences.items() if not gap <= same * size + noise}
    wrong = sorted(off & heard)
    if wrong:
        shown = ", ".join(wrong[:SHOWN]) + (", …" if len(wrong) > SHOWN else "")
        raise ArtifactError(
            f"the per-example gradients of {len(wrong)} parameters differ from autograd's, expected the "
            f"same: {shown}",
            hint="the model uses these layers in a way that their rules do not know; nothing was written",
        )
    return differences.keys() - heard
