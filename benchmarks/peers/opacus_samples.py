"""Opacus: per-example gradients kept for every parameter, as differentially private training wants them."""

from typing import Any, ClassVar

import torch
from subjects import Fisher, Subject
from torch import nn

from peers.base import Method
from speu_cli.tasks.encoded import Encoded


class OpacusSamples(Method):
    """Its ``grad_sample`` of each batch, squared and summed."""

    name: ClassVar[str] = "opacus"
    package: ClassVar[str | None] = "opacus"

    def __init__(self, subject: Subject) -> None:
        from opacus.grad_sample import GradSampleModule

        super().__init__(subject)
        self._parameters: dict[str, Any] = subject.only_units_require_gradients()  # it adds `grad_sample`
        # Opacus records in training mode only.
        for module in subject.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        GradSampleModule(subject.model.train(), loss_reduction="sum")

    def run(self, encoded: Encoded) -> Fisher:
        """A batch at a time."""
        fisher = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        for inputs, labels in self.subject.batches(encoded):
            self.subject.losses(inputs, labels).sum().backward()
            for name, parameter in self._parameters.items():
                fisher[name] += parameter.grad_sample.square_().sum(0)
                parameter.grad = parameter.grad_sample = None
        return fisher
