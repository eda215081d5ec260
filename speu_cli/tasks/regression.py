"""Regression with one output, single texts and pairs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig

from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError
from speu_cli.tasks.base import Answered, Loss
from speu_cli.tasks.distributions import Distributions
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Closeness, Margins
from speu_cli.tasks.preparation import Preparation
from speu_cli.tasks.texts import encode_texts, random_tokens


class Regression:
    """Squared error; confidence is minus the squared error."""

    name = "regression"
    score_name = "spearman"
    generative = False
    margins: Margins = Closeness()
    terms: Sequence[Loss] = ()

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Tokenize the texts and check their targets."""
        return encode_texts(examples, self.labels(examples, how.config), how)

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Random tokens of target 0."""
        return random_tokens(lengths, config.vocab_size)

    def labels(self, examples: Sequence[Example], config: PretrainedConfig) -> Tensor:
        """Check that labels are finite numbers.

        Returns:
            Targets, float32 ``[n]``.

        Raises:
            InputError: A label is not a finite number.
        """
        return torch.tensor([_target(example) for example in examples], dtype=torch.float32)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Squared error of each example, ``[n]``."""
        return (self.predictions(logits) - labels.to(logits.dtype)) ** 2

    def strata(self, encoded: Encoded) -> Tensor:
        """Their targets, float32 ``[n]``."""
        return encoded.labels

    def sizes(self, labels: Tensor) -> Tensor:
        """A squared error is no log-likelihood, of nothing.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "regression has no likelihood, which this method needs",
            hint="use a method that needs none, or another task",
        )

    def predictions(self, logits: Tensor) -> Tensor:
        """The model's single output, ``[n]``."""
        return logits[:, 0]

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """Outputs and targets."""
        return {"predictions": self.predictions(logits), "labels": labels}

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the squared error, ``[n]``: highest for examples that the model has fitted."""
        return -self.losses(logits, labels)

    def standings(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The output, ``[n]``."""
        wide = torch.promote_types(logits.dtype, torch.float32)
        return self.predictions(logits).to(wide)

    def classes(self, config: PretrainedConfig) -> int:
        """None: targets are numbers."""
        return 0

    def distributions(self, logits: Tensor, labels: Tensor) -> Distributions | None:
        """None: a number is predicted."""
        return None


def _target(example: Example) -> float:
    label = example.label
    if not isinstance(label, int | float) or not math.isfinite(label):
        raise InputError(f"example '{example.id}' has label {label!r}, expected a finite number")
    return float(label)
