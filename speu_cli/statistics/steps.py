"""One batch through the model: losses, per-example gradients, and what the examples are called."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoding import Encoded

SHOWN = 3


@dataclass(frozen=True)
class Step:
    """A batch on the model's device.

    Attributes:
        inputs: Of the model, each ``[n, t]``.
        labels: ``[n]``.
        lengths: Tokens of each example, int64 ``[n]``, on the CPU.
        ids: Of the examples.
        keys: Of the examples, int64 ``[n]``, on the CPU.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    lengths: Tensor
    ids: list[str]
    keys: Tensor

    @classmethod
    def of(cls, encoded: Encoded, indices: Sequence[int], device: torch.device) -> "Step":
        """The examples at these positions, padded on the right."""
        inputs, labels = encoded.collate(indices)
        return cls(
            {name: value.to(device) for name, value in inputs.items()},
            labels.to(device),
            torch.tensor([len(encoded.rows[i]["input_ids"]) for i in indices]),
            [encoded.ids[i] for i in indices],
            encoded.keys[list(indices)],
        )

    @property
    def positions(self) -> int:
        """t, padding included."""
        return self.inputs["input_ids"].shape[1]

    @property
    def spans(self) -> Tensor:
        """First row of each example in ``[n·t, …]``, and its number of tokens: int64 ``[n, 2]``."""
        return torch.stack([torch.arange(len(self.ids)) * self.positions, self.lengths], 1)

    def example(self, k: int) -> "Step":
        """One example of it, padded as it is."""
        one = slice(k, k + 1)
        inputs = {name: value[one] for name, value in self.inputs.items()}
        return Step(inputs, self.labels[one], self.lengths[one], self.ids[one], self.keys[one])

    def losses(self, model: PreTrainedModel, task: Task) -> Tensor:
        """ℓ of each example, ``[n]``.

        Args:
            model: In eval mode.
            task: Gives the loss.

        Returns:
            The losses.

        Raises:
            ArtifactError: One is not finite.
        """
        logits = model(**self.inputs).logits
        losses = task.losses(logits, self.labels.to(logits.device))
        if not losses.isfinite().all():
            odd = [self.ids[k] for k in (~losses.isfinite()).nonzero()[:, 0].tolist()]
            shown = ", ".join(map(repr, odd[:SHOWN])) + (", …" if len(odd) > SHOWN else "")
            raise ArtifactError(
                f"the model's loss on example {shown} is not finite, expected a working model",
                hint="look at the example; --exclude leaves it out",
            )
        return losses
