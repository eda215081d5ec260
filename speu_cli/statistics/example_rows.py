"""The gradients of single examples, side by side: what a step in function space is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.data.batches import Schedule
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.check import check_dropout
from speu_cli.statistics.collector import Pass
from speu_cli.statistics.factors import Factor, examples_in
from speu_cli.statistics.running import RunningSums, shape_of, wide
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.structures.layout import Layout
from speu_cli.tasks.base import Loss
from speu_cli.tasks.encoded import Encoded


@dataclass(frozen=True)
class ExampleRows:
    """∂ℓ/∂θ of examples, in their order.

    Attributes:
        gradients: By parameter, ``[n, entries of its part]``, float32 at least, on the parameter's device.
        losses: ℓ, float64 ``[n]``.
    """

    gradients: dict[str, Tensor]
    losses: Tensor


def example_rows(
    model: PreTrainedModel,
    layout: Layout,
    task: Loss,
    encoded: Encoded,
    parts: Mapping[str, Part | None],
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    description: str = "gradients",
) -> ExampleRows:
    """Compute the gradient of each example, in one pass.

    Args:
        model: In eval mode, no parameter requiring gradients.
        layout: Its units.
        task: Gives the loss of each example.
        encoded: The examples.
        parts: What of each parameter is wanted; None: all of it.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.

    Returns:
        The gradients, which take ``n`` times the room of the parts.
    """
    check_dropout(model)
    wanted = Wanted(parts, mask_statistics=False)
    run = Pass(model, layout, task, encoded, wanted, batch_tokens, progress or Silent())
    coming = [one for batch in Schedule(encoded.lengths, batch_tokens) for one in batch]
    run.sums = rows = _Rows(model, layout, parts, coming)
    with run.attached():
        run.go_through(description, None)
    return ExampleRows(rows.kept, run.losses)


class _Rows(RunningSums):
    """Keeps each example's gradient in place of adding them up.

    Args:
        model: The model.
        layout: Its units.
        parts: As of :func:`example_rows`.
        coming: Positions of the examples, in the order in which they come.

    Attributes:
        kept: The gradients, in the order of the examples.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layout: Layout,
        parts: Mapping[str, Part | None],
        coming: Sequence[int],
    ) -> None:
        super().__init__(model, layout, Wanted({}, mask_statistics=False))
        self._parts, self._coming = parts, coming
        self._came = dict.fromkeys(parts, 0)
        self.kept: dict[str, Tensor] = {}
        for name, part in parts.items():
            parameter = model.get_parameter(name)
            entries = shape_of(parameter, part).numel()
            self.kept[name] = torch.empty(
                len(coming), entries, dtype=wide(parameter.dtype), device=parameter.device
            )

    def add_parameter(self, name: str, factor: Factor) -> None:
        """Put a batch's gradients of one parameter where they belong."""
        part, came = self._parts[name], self._came[name]
        chosen = factor if part is None else factor.select(part)
        count = examples_in(chosen)
        for k, position in enumerate(self._coming[came : came + count]):
            self.kept[name][position] = chosen.of_example(k).flatten()
        self._came[name] += count
