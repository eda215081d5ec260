"""One example at a time: what everybody writes first."""

from typing import ClassVar

import torch
from subjects import Fisher, Subject

from peers.base import Method
from speu_cli.tasks.encoded import Encoded


class Loop(Method):
    """A backward pass for each example, at the example's own length; its squares are added."""

    name: ClassVar[str] = "loop"
    required: ClassVar[bool] = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._parameters = subject.only_units_require_gradients()

    def run(self, encoded: Encoded) -> Fisher:
        """In the order of the batches, though each example is alone."""
        fisher = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        for indices in encoded.batches(self.subject.batch_tokens):
            for index in indices:
                inputs, labels = self.subject.collate(encoded, [index])
                loss = self.subject.losses(inputs, labels).sum()
                gradients = torch.autograd.grad(loss, list(self._parameters.values()))
                for total, gradient in zip(fisher.values(), gradients, strict=True):
                    total.addcmul_(gradient, gradient)
        return fisher
