"""One batch through the model: losses, per-example gradients, and what the examples are called."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.errors import NotFiniteError
from speu_cli.tasks.base import Loss, Task, logits_of
from speu_cli.tasks.encoded import Encoded

SHOWN = 3


@dataclass(frozen=True)
class Step:
    """A batch on the model's device.

    Attributes:
        inputs: Of the model, each ``[n·w, t]``, w rows an example.
        labels: ``[n, …]``.
        spans: First of an example's positions in ``[n·w·t, …]``, and how many there are up to its last token:
            int64 ``[n, 2]``, on the CPU. Padding within has no gradient.
        positions: w·t of each example, padding included.
        ids: Of the examples.
        keys: Of the examples, int64 ``[n]``, on the CPU.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    spans: Tensor
    positions: int
    ids: list[str]
    keys: Tensor

    @classmethod
    def of(cls, encoded: Encoded, indices: Sequence[int], device: torch.device) -> "Step":
        """The examples at these positions, padded on the right."""
        inputs, labels = encoded.collate(indices)
        spans, positions = encoded.spans(indices)
        return cls(
            {name: value.to(device) for name, value in inputs.items()},
            labels.to(device),
            spans,
            positions,
            [encoded.ids[i] for i in indices],
            encoded.keys[list(indices)],
        )

    @property
    def windows(self) -> int:
        """w: rows of an example in the model's inputs."""
        return len(next(iter(self.inputs.values()))) // len(self.ids)

    def example(self, k: int) -> "Step":
        """One example of it, padded as it is."""
        one, rows = slice(k, k + 1), slice(k * self.windows, (k + 1) * self.windows)
        return Step(
            {name: value[rows] for name, value in self.inputs.items()},
            self.labels[one],
            torch.tensor([[0, int(self.spans[k, 1])]]),
            self.positions,
            self.ids[one],
            self.keys[one],
        )

    def losses(self, model: PreTrainedModel, task: Loss) -> Tensor:
        """ℓ of each example, ``[n]``.

        Args:
            model: In eval mode.
            task: Gives the loss.

        Returns:
            The losses.
        """
        logits = logits_of(model, self.inputs)
        return self._finite(task.losses(logits, self.labels.to(logits.device)), "loss")

    def standings(self, model: PreTrainedModel, task: Task) -> Tensor:
        """Where the model stands on each example, q: ``[n]``.

        Args:
            model: In eval mode.
            task: Tells where the model stands.

        Returns:
            The standings.
        """
        logits = logits_of(model, self.inputs)
        return self._finite(task.standings(logits, self.labels.to(logits.device)), "margin")

    def _finite(self, values: Tensor, called: str) -> Tensor:
        """Values of the examples.

        Returns:
            They.

        Raises:
            NotFiniteError: One is not finite.
        """
        if not values.isfinite().all():
            odd = [self.ids[k] for k in (~values.isfinite()).nonzero()[:, 0].tolist()]
            shown = ", ".join(map(repr, odd[:SHOWN])) + (", …" if len(odd) > SHOWN else "")
            raise NotFiniteError(
                f"the model's {called} on example {shown} is not finite, expected a working model",
                hint="look at the example; --exclude leaves it out",
            )
        return values
