"""Labels as the classes of a model, and its loss: of texts and of images alike."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PretrainedConfig

from speu_cli.data.examples import Example
from speu_cli.errors import InputError
from speu_cli.tasks.base import Answered, Loss
from speu_cli.tasks.distributions import Distributions
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import LogOdds, Margins

SHOWN_NAMES = 8


class Classes:
    """Cross-entropy over the classes; confidence is the probability of the true class."""

    score_name = "accuracy"
    generative = False
    margins: Margins = LogOdds()
    terms: Sequence[Loss] = ()

    def labels(self, examples: Sequence[Example], config: PretrainedConfig) -> Tensor:
        """Look labels up; each is a class index or one of the model's label names.

        Returns:
            Class indices, int64 ``[n]``.

        Raises:
            InputError: A label is not one of the model's classes.
        """
        names = {str(name): int(index) for name, index in (config.label2id or {}).items()}
        count = config.num_labels or 0
        indices = [_class_index(example, names, count) for example in examples]
        return torch.tensor(indices, dtype=torch.int64)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each example, ``[n]``."""
        return functional.cross_entropy(logits, labels, reduction="none")

    def strata(self, encoded: Encoded) -> Tensor:
        """Their classes, int64 ``[n]``."""
        return encoded.labels

    def sizes(self, labels: Tensor) -> Tensor:
        """1 for each example: its label is all there is, ``[n]``."""
        return torch.ones_like(labels)

    def predictions(self, logits: Tensor) -> Tensor:
        """The most probable class, ``[n]``."""
        return logits.argmax(-1)

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """Predicted and true classes; entropy and modified entropy, by which an attack tells members."""
        of_classes = logits.log_softmax(-1)
        return {
            "predictions": self.predictions(logits),
            "labels": labels,
            "entropy": entropy(of_classes),
            "modified_entropy": modified_entropy(of_classes, labels),
        }

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Probability of the true class, ``[n]``."""
        return logits.softmax(-1).gather(-1, labels[:, None])[:, 0]

    def standings(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Log-odds of the true class, its logit less the logsumexp of the others, ``[n]``."""
        wide, true = logits.to(torch.promote_types(logits.dtype, torch.float32)), labels[:, None]
        others = wide.scatter(-1, true, -torch.inf)
        return wide.gather(-1, true)[:, 0] - others.logsumexp(-1)

    def classes(self, config: PretrainedConfig) -> int:
        """Those of the model."""
        return config.num_labels or 0

    def distributions(self, logits: Tensor, labels: Tensor) -> Distributions | None:
        """Over the classes, one for each example."""
        return Distributions(torch.arange(len(labels)), logits.log_softmax(-1))


def entropy(log_probabilities: Tensor) -> Tensor:
    """Entropy of what is predicted, −Σ p log p, in nats.

    Args:
        log_probabilities: Of the classes, ``[n, classes]``.

    Returns:
        ``[n]``: low where the model is sure, be it right or wrong.
    """
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def modified_entropy(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Entropy that knows what is true: −(1 − p_y)·log p_y − Σ_{i≠y} p_i·log(1 − p_i), in nats.

    Of Song and Mittal, "Systematic evaluation of privacy risks of machine learning models" (USENIX Security
    2021): low where the model is sure and right, high where it is sure and wrong.

    Args:
        log_probabilities: Of two classes or more, ``[n, classes]``.
        labels: True classes y, ``[n]``.

    Returns:
        ``[n]``, at least 0.
    """
    true = torch.zeros_like(log_probabilities, dtype=torch.bool).scatter_(-1, labels[:, None], True)
    probabilities = log_probabilities.exp()
    # 1 − p of the likeliest class is lost to rounding where p is near 1: it is summed from the others.
    likeliest = torch.zeros_like(true).scatter_(-1, log_probabilities.argmax(-1, keepdim=True), True)
    of_others = log_probabilities.masked_fill(likeliest, -torch.inf).logsumexp(-1, keepdim=True)
    log_less = torch.where(likeliest, of_others, torch.log1p(-probabilities.masked_fill(likeliest, 0.0)))
    wrong = (probabilities * log_less).masked_fill(true, 0.0).sum(-1)
    right = (log_less.exp() * log_probabilities)[true]
    return -(right + wrong)


def _class_index(example: Example, names: dict[str, int], count: int) -> int:
    label = example.label
    if isinstance(label, str) and label in names:
        return names[label]
    if isinstance(label, int | float) and label == int(label) and 0 <= label < count:
        return int(label)
    shown = ", ".join(list(names)[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
    raise InputError(
        f"example '{example.id}' has label {label!r}, expected one of 0 … {count - 1} or of {shown}",
        hint="is this the data set that the model was trained on? name another column with --label-column",
    )
