"""A training step without the optimiser: what all others are compared with."""

from typing import ClassVar

from subjects import Subject

from peers.base import Method
from speu_cli.tasks.encoded import Encoded


class Plain(Method):
    """Forward, and backward of the summed loss to all weights."""

    name: ClassVar[str] = "plain"
    required: ClassVar[bool] = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        subject.model.requires_grad_(True)

    def run(self, encoded: Encoded) -> None:
        """Gradients, which are dropped."""
        for inputs, labels in self.subject.batches(encoded):
            self.subject.losses(inputs, labels).sum().backward()
            self.subject.model.zero_grad()
