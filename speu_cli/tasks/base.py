"""What a task is."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor
from transformers import PretrainedConfig

from speu_cli.data.examples import Example


class Task(Protocol):
    """Turns labels and logits into losses, predictions and scores, one number an example.

    The loss is computed here from the logits, never by the model: a model's own loss is a mean over
    the batch and hides the per-example values that the Fisher information needs.
    """

    name: str
    score_name: str
    generative: bool  # the label is a text that the model writes, so that it can be taught another answer

    def labels(self, examples: Sequence[Example], config: PretrainedConfig) -> Tensor:
        """Labels as the loss takes them, ``[n]``; raises ``InputError`` for one outside the model's."""
        ...

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """ℓ(θ; x) of each example, ``[n]``, from logits ``[n, outputs]``."""
        ...

    def sizes(self, labels: Tensor) -> Tensor:
        """How many terms each example's ℓ is the mean of, ``[n]``: −ℓ·size is its log-likelihood."""
        ...

    def predictions(self, logits: Tensor) -> Tensor:
        """What the model answers, ``[n]``."""
        ...

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How sure the model is of the true answer, ``[n]``; higher for training members."""
        ...
