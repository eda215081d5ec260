"""What a model does with a set of examples: one forward pass, no gradients."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.progress import Progress, Silent
from speu_cli.tasks.base import Loss, Task, logits_of
from speu_cli.tasks.distributions import Kept
from speu_cli.tasks.encoded import Encoded

FloatArray = npt.NDArray[np.float64]
LOSSES, CONFIDENCES = "losses", "confidences"
# Of so many outputs float64 takes little memory; a vocabulary's stay where and as they are.
FEW = 1024


@dataclass(frozen=True)
class Outcomes:
    """Per-example results in the order of the examples, each float64 ``[n]``.

    Attributes:
        losses: ℓ.
        confidences: How sure the model is of the true answer.
        answers: What the task's scores are made of, by name.
    """

    losses: FloatArray
    confidences: FloatArray
    answers: Mapping[str, FloatArray]

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
    kept: Kept | None = None,
) -> Outcomes:
    """Run the model over all examples.

    Args:
        model: In eval mode.
        task: Gives losses, predictions and confidences.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.
        kept: Is given what is predicted of each example, as far as it has room. Default: it is let go.

    Returns:
        The outcomes, in the order of the examples.
    """
    parts: dict[str, Tensor] = {}
    told = progress or Silent()
    for indices, logits, labels in _passes(model, encoded, batch_tokens, told, description):
        if kept is not None:
            _keep(kept, task, encoded, indices, logits, labels)
        references = [encoded.references[i] for i in indices] if encoded.references else ()
        of_batch = {
            LOSSES: task.losses(logits, labels),
            CONFIDENCES: task.confidences(logits, labels),
            **task.answers(logits, labels, references),
        }
        for name, values in of_batch.items():
            part = parts.setdefault(name, torch.zeros(len(encoded), dtype=torch.float64))
            part[indices] = values.to("cpu", torch.float64)
    whole = {name: part.numpy() for name, part in parts.items()}
    nothing = np.zeros(len(encoded))
    return Outcomes(whole.pop(LOSSES, nothing), whole.pop(CONFIDENCES, nothing), whole)


def losses(
    model: PreTrainedModel,
    task: Loss,
    encoded: Encoded,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    description: str = "losses",
) -> FloatArray:
    """Run the model over all examples for their losses alone: answers may cost more than the pass.

    Args:
        model: In eval mode.
        task: Gives the losses.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.

    Returns:
        ℓ in the order of the examples, float64 ``[n]``.
    """
    told = progress or Silent()
    return several_losses(model, [task], encoded, batch_tokens, told, description)[:, 0]


@torch.inference_mode()
def several_losses(
    model: PreTrainedModel,
    wanted: Sequence[Loss],
    encoded: Encoded,
    batch_tokens: int,
    progress: Progress,
    description: str,
) -> FloatArray:
    """Run the model over all examples once for more than one loss.

    Args:
        model: In eval mode.
        wanted: Give the losses.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch.
        description: What the progress is called.

    Returns:
        The losses in the order of the examples, float64 ``[n, wanted]``.
    """
    found = np.zeros((len(encoded), len(wanted)))
    for indices, logits, labels in _passes(model, encoded, batch_tokens, progress, description):
        of_batch = [one.losses(logits, labels) for one in wanted]
        found[indices] = torch.stack(of_batch, 1).to("cpu", torch.float64)
    return found


def _passes(
    model: PreTrainedModel, encoded: Encoded, batch_tokens: int, progress: Progress, description: str
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Run the model batch by batch.

    Yields:
        Positions of the examples, their logits, and their labels beside these.
    """
    batches = encoded.batches(batch_tokens)
    steps: Iterable[list[int]] = progress.track(
        batches, total=sum(batch.tokens for batch in batches), description=description
    )
    for indices in steps:
        inputs, labels = encoded.collate(indices)
        logits = logits_of(model, {name: value.to(model.device) for name, value in inputs.items()})
        if logits.shape[-1] <= FEW:
            logits = logits.to("cpu", torch.float64)
        yield indices, logits, labels.to(logits.device)


def _keep(
    kept: Kept, task: Task, encoded: Encoded, indices: Sequence[int], logits: Tensor, labels: Tensor
) -> None:
    chosen = kept.choose(encoded.lengths, logits.shape[-1] * max(logits.itemsize, torch.float32.itemsize))
    places = [place for place, index in enumerate(indices) if chosen[index]]
    if not places:
        return
    of_examples = logits.unflatten(0, (len(indices), -1))[places].flatten(0, 1)
    found = task.distributions(of_examples, labels[places])
    if found is not None:
        kept.add([indices[place] for place in places], found)
