"""What a task is."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.data.examples import Examples
from speu_cli.tasks.distributions import Distributions
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Margins
from speu_cli.tasks.preparation import Preparation

Answered = dict[str, Tensor]


class Loss(Protocol):
    """What a pass for gradients needs: the number of each example that it differentiates."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """ℓ(θ; x) of each example, ``[n]``, from what :func:`logits_of` gives and labels ``[n, …]``."""
        ...


class Task(Loss, Protocol):
    """Turns examples into inputs, and logits into losses, answers and confidences, one number an example.

    The loss is computed here from the logits, never by the model: a model's own loss is a mean over
    the batch and hides the per-example values that the Fisher information needs.
    """

    name: str
    score_name: str
    generative: bool  # the label is a text that the model writes, so that it can be taught another answer
    margins: Margins  # as a function of the loss
    terms: Sequence[Loss]  # that ℓ is the mean of, where they are few and of different things; else empty

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Encode examples; raises ``InputError`` for what the model cannot learn."""
        ...

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Random inputs of these lengths in tokens, with some label: to time a pass on."""
        ...

    def strata(self, encoded: Encoded) -> Tensor:
        """What is true of each example, ``[n]``: those that agree in it are as hard to know unseen.

        Kinds in int64, or numbers in float32, of which those that lie close agree.
        """
        ...

    def sizes(self, labels: Tensor) -> Tensor:
        """How many terms ℓ is the mean of, ``[n]``: −ℓ · size is the example's log-likelihood."""
        ...

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """What the scores are made of, by name, each ``[n]``."""
        ...

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How sure the model is of the true answer, ``[n]``; higher for training members."""
        ...

    def standings(self, logits: Tensor, labels: Tensor) -> Tensor:
        """q: where the model stands on each example, ``[n]`` in float32 at least, as unbounded as logits are.

        The log-odds of the true answer; where a number is predicted, the number.
        """
        ...

    def classes(self, config: PretrainedConfig) -> int:
        """How many classes there are; 0 where labels are no classes."""
        ...

    def distributions(self, logits: Tensor, labels: Tensor) -> Distributions | None:
        """What the model predicts of each example, whatever is true; None where that is a number."""
        ...


def logits_of(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Run a model.

    Args:
        model: The model.
        inputs: Of one batch.

    Returns:
        Its logits ``[rows, …]``; of a start and an end ``[rows, tokens, 2]``, −∞ at padding, so that no
        probability depends on how much of it there is.
    """
    outputs = model(**inputs)
    if "start_logits" not in outputs:
        logits: Tensor = outputs.logits
        return logits
    both = torch.stack([outputs.start_logits, outputs.end_logits], -1)
    absent = inputs["attention_mask"].to(both.device).eq(0)
    return both.masked_fill(absent[..., None], -torch.inf)
