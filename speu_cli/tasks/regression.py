"""Regression with one output, single texts and pairs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig

from speu_cli.data.examples import Example
from speu_cli.errors import InputError


class Regression:
    """Squared error; confidence is minus the squared error."""

    name = "regression"
    score_name = "spearman"
    generative = False

    def labels(self, examples: Sequence[Example], config: PretrainedConfig) -> Tensor:
        """Check that labels are finite numbers.

        Returns:
            Targets, float32 ``[n]``.

        Raises:
            InputError: A label is not a finite number.
        """
        for example in examples:
            if isinstance(example.label, str) or not math.isfinite(example.label):
                raise InputError(
                    f"example '{example.id}' has label {example.label!r}, expected a finite number"
                )
        return torch.tensor([float(example.label) for example in examples])

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Squared error of each example, ``[n]``."""
        return (self.predictions(logits) - labels.to(logits.dtype)) ** 2

    def sizes(self, labels: Tensor) -> Tensor:
        """One term an example, ``[n]``."""
        return torch.ones(len(labels), device=labels.device)

    def predictions(self, logits: Tensor) -> Tensor:
        """The model's single output, ``[n]``."""
        return logits[:, 0]

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the squared error, ``[n]``: highest for examples that the model has fitted."""
        return -self.losses(logits, labels)
