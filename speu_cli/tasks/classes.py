"""Labels as the classes of a model, and its loss: of texts and of images alike."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PretrainedConfig

from speu_cli.data.examples import Example
from speu_cli.errors import InputError
from speu_cli.tasks.base import Answered

SHOWN_NAMES = 8


class Classes:
    """Cross-entropy over the classes; confidence is the probability of the true class."""

    score_name = "accuracy"
    generative = False

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

    def sizes(self, labels: Tensor) -> Tensor:
        """1 for each example: its label is all there is, ``[n]``."""
        return torch.ones_like(labels)

    def predictions(self, logits: Tensor) -> Tensor:
        """The most probable class, ``[n]``."""
        return logits.argmax(-1)

    def answers(self, logits: Tensor, labels: Tensor, references: Sequence[object]) -> Answered:
        """Predicted and true classes."""
        return {"predictions": self.predictions(logits), "labels": labels}

    def confidences(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Probability of the true class, ``[n]``."""
        return logits.softmax(-1).gather(-1, labels[:, None])[:, 0]


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
