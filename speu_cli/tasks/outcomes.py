"""What a model does with a set of examples: one forward pass, no gradients."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from speu_cli.progress import Progress, Silent
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoding import Encoded

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Per-example results in the order of the examples, each float64 ``[n]``."""

    losses: FloatArray
    predictions: FloatArray
    labels: FloatArray
    confidences: FloatArray

    def __len__(self) -> int:
        return len(self.losses)


@torch.inference_mode()
def outcomes(
    model: PreTrainedModel,
    task: Task,
    encoded: Encoded,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    description: str = "evaluating",
) -> Outcomes:
    """Run the model over all examples.

    Args:
        model: In eval mode.
        task: Gives losses, predictions and confidences.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.

    Returns:
        The outcomes, in the order of the examples.
    """
    parts = torch.zeros(4, len(encoded), dtype=torch.float64)
    batches = encoded.batches(batch_tokens)
    steps: Iterable[list[int]] = (progress or Silent()).track(
        batches, total=sum(batch.tokens for batch in batches), description=description
    )
    for indices in steps:
        inputs, labels = encoded.collate(indices)
        logits = model(**{name: value.to(model.device) for name, value in inputs.items()}).logits
        logits = logits.to("cpu", torch.float64)
        of_batch = (
            task.losses(logits, labels),
            task.predictions(logits),
            labels,
            task.confidences(logits, labels),
        )
        for row, values in zip(parts, of_batch, strict=True):
            row[indices] = values.to(torch.float64)
    return Outcomes(*(row.numpy() for row in parts))
