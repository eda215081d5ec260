"""PyTorch's own per-example gradients: ``torch.func.vmap`` over ``grad``."""

from functools import partial
from typing import Any, ClassVar

import torch
from subjects import Fisher, Inputs, Subject
from torch import Tensor
from torch.func import functional_call, grad, vmap

from peers.base import Method
from speu_cli.tasks.encoded import Encoded


class VmapOfGrad(Method):
    """The gradients of a batch's examples, all at once, then their squares.

    Attention is eager, and the padding mask four-dimensional: what the library does with any other has no
    rule under vmap.
    """

    name: ClassVar[str] = "vmap"

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        subject.model.set_attn_implementation("eager")
        self._parameters = {name: value.detach() for name, value in subject.parameters.items()}

    def run(self, encoded: Encoded) -> Fisher:
        """A batch at a time."""
        fisher = {name: torch.zeros_like(value) for name, value in self._parameters.items()}
        per_example = vmap(grad(self._loss), in_dims=(None, 0, 0))
        for inputs, labels in self.subject.batches(encoded):
            gradients: dict[str, Tensor] = per_example(self._parameters, _masked(inputs), labels)
            for name, gradient in gradients.items():
                fisher[name] += gradient.square_().sum(0)
        return fisher

    def _loss(self, parameters: dict[str, Tensor], inputs: Inputs, label: Tensor) -> Tensor:
        """Of one example, its tensors without the batch's dimension."""
        batch_of_one: dict[str, Any] = {name: value[None] for name, value in inputs.items()}
        call = partial(functional_call, self.subject.model, parameters, ())
        return self.subject.task.losses(call(batch_of_one).logits, label[None])[0]


def _masked(inputs: Inputs) -> Inputs:
    """The mask ``[batch, 1, 1, length]`` as it is added to the scores."""
    if "attention_mask" not in inputs:
        return inputs
    hidden = inputs["attention_mask"][:, None, None] == 0
    mask = torch.zeros(hidden.shape, device=hidden.device).masked_fill_(
        hidden, torch.finfo(torch.float32).min
    )
    return {**inputs, "attention_mask": mask}
