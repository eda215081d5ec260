"""Training on a few forgotten examples: does the rest of them come back?"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from speu_cli.progress import Progress, Silent
from speu_cli.tasks.base import Task, logits_of
from speu_cli.tasks.encoded import Encoded

LEARNING_RATE = 5e-5
FEWEST_SHOWN = 8
SHARE_SHOWN = 10


@dataclass(frozen=True)
class RelearningSettings:
    """How to train.

    Attributes:
        steps: Of AdamW, each on all the examples that are shown.
        learning_rate: The same in every step. Default: that of ``speu train``.
    """

    steps: int
    learning_rate: float = LEARNING_RATE


def shown_by_default(forgotten: int) -> int:
    """How many of the forgotten examples are trained on: a tenth, at least 8, at most half of them."""
    return min(max(FEWEST_SHOWN, forgotten // SHARE_SHOWN), forgotten // 2)


def stops(steps: int) -> list[int]:
    """When the model is looked at: before the first step, after 1, 2, 4, 8 … of them, and after the last."""
    return [0, *(2**power for power in range(steps.bit_length()) if 2**power < steps), steps]


def relearn(
    model: PreTrainedModel,
    task: Task,
    shown: Encoded,
    settings: RelearningSettings,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    description: str = "relearning",
) -> Iterator[int]:
    """Train all parameters of a model, in place, and pause at each of the `stops`.

    A step is one of AdamW without weight decay and without dropout, along the gradient of the mean loss over
    all examples: nothing is drawn, and the size of a batch changes nothing but the memory.

    Args:
        model: In eval mode; is left so, and without gradients.
        task: Gives the losses.
        shown: The examples to train on, at least one.
        settings: How to train.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every step. Default: nobody.
        description: What the progress is called.

    Yields:
        Steps that have been done.
    """
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    pauses = set(stops(settings.steps))
    try:
        yield 0
        steps = (progress or Silent()).track(
            range(1, settings.steps + 1), total=settings.steps, description=description
        )
        for step in steps:
            optimizer.zero_grad(set_to_none=True)
            _add_gradients(model, task, shown, batch_tokens)
            optimizer.step()
            if step in pauses:
                yield step
    finally:
        model.requires_grad_(False)
        model.zero_grad(set_to_none=True)


def _add_gradients(model: PreTrainedModel, task: Task, shown: Encoded, batch_tokens: int) -> None:
    """Add the gradient of the mean loss over the examples to what the parameters have."""
    for indices in shown.batches(batch_tokens):
        inputs, labels = shown.collate(indices)
        logits = logits_of(model, {name: value.to(model.device) for name, value in inputs.items()})
        losses = task.losses(logits, labels.to(logits.device))
        (losses.sum() / len(shown)).backward()
