"""One pass over examples: exact per-example statistics at about the price of a training step.

No weight gradient is asked of autograd. It carries only the gradients of activations, and at every
linear module that holds units the rule of :mod:`speu_cli.statistics.rules.linear` turns them into sums.
Embeddings and whatever lies below the first such module are not differentiated at all.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.rules.linear import add_bias_gradients, add_weight_gradients
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout, UnitGroup
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoding import Encoded

# Rows of mask gradients gathered for one product, which touches the whole of B.
PENDING_ROWS = 256


@dataclass(frozen=True)
class Collected:
    """Statistics of a set, and its examples' losses in their order, float64 ``[n]``."""

    statistics: Statistics
    losses: Tensor


def collect(
    model: PreTrainedModel,
    layout: Layout,
    task: Task,
    encoded: Encoded,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    description: str = "statistics",
) -> Collected:
    """Compute the statistics of a set of examples (Eq. 3; lines 2–11 of Algorithm 1).

    Each square is of one example's gradient; the result does not depend on how examples are batched.

    Args:
        model: In eval mode, no parameter requiring gradients.
        layout: Its units.
        task: Gives the loss of each example.
        encoded: The examples; may be empty.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.

    Returns:
        The sums, on the CPU in float64, and the losses.

    Raises:
        ArtifactError: An example's loss is not finite.
    """
    losses = torch.zeros(len(encoded), dtype=torch.float64)
    sums = _Sums(model, layout)
    batches = encoded.batches(batch_tokens)
    steps: Iterable[list[int]] = (progress or Silent()).track(
        batches, total=len(batches), description=description
    )
    with sums.attached(model), torch.enable_grad():
        for indices in steps:
            inputs, labels = encoded.collate(indices)
            logits = model(**{name: value.to(model.device) for name, value in inputs.items()}).logits
            of_batch = task.losses(logits, labels.to(model.device))
            if not of_batch.isfinite().all():
                raise ArtifactError("the model's loss on an example is not finite, expected a working model")
            losses[indices] = of_batch.detach().to("cpu", torch.float64)
            of_batch.sum().backward()
    return Collected(sums.statistics(len(encoded)), losses)


class _Sums:
    """Running sums, fed by hooks during backward passes.

    A batch is summed in the type of its gradients and added to totals in float64 (float32 where the
    device has no other), so that a million additions lose nothing that float32 would show.
    """

    def __init__(self, model: PreTrainedModel, layout: Layout) -> None:
        dtype = torch.float32 if model.device.type == "mps" else torch.float64
        shapes = {name: model.get_parameter(name).shape for name in layout.parameters}
        zeros = partial(torch.zeros, dtype=dtype, device=model.device)
        self._layout = layout
        self._fisher = {name: zeros(shape) for name, shape in shapes.items()}
        self._gradient = {name: zeros(shape) for name, shape in shapes.items()}
        self._mask_gradient = {group.key: zeros(group.count) for group in layout}
        self._mask_fisher = {group.key: zeros(group.count, group.count) for group in layout}
        self._pending: dict[str, list[Tensor]] = {group.key: [] for group in layout}
        self._seen: set[str] = set()

    @contextmanager
    def attached(self, model: PreTrainedModel) -> Iterator[None]:
        """Listen to the model's linear modules that hold units."""
        groups = {group.output: group for group in self._layout}
        paths = {name.rpartition(".")[0] for name in self._layout.parameters}
        with ExitStack() as handles:
            handles.enter_context(model.register_forward_pre_hook(lambda *_: self._seen.clear()))
            for path in sorted(paths):
                hook = partial(self._listen, path, groups.get(path))
                handles.enter_context(model.get_submodule(path).register_forward_hook(hook))
            yield

    def _listen(
        self, path: str, group: UnitGroup | None, _: nn.Module, args: tuple[Any, ...], output: Tensor
    ) -> None:
        if path in self._seen:
            raise ArtifactError(
                f"module '{path}' runs more than once in a forward pass, expected once",
                hint="set chunk_size_feed_forward to 0 in the model's config.json",
            )
        self._seen.add(path)
        inputs: Tensor = args[0]
        if group is not None:
            inputs.register_hook(partial(self._add_mask_gradients, group, inputs.detach()))
        # Nothing below the first listened-to modules has a gradient: there the graph begins.
        if not output.requires_grad:
            output.requires_grad_()
        output.register_hook(partial(self._add_gradients, path, inputs.detach()))

    def _add_gradients(self, path: str, inputs: Tensor, deltas: Tensor) -> None:
        weight, bias = f"{path}.weight", f"{path}.bias"
        add_weight_gradients(self._fisher[weight], self._gradient[weight], inputs, deltas)
        if bias in self._fisher:
            add_bias_gradients(self._fisher[bias], self._gradient[bias], deltas)

    def _add_mask_gradients(self, group: UnitGroup, inputs: Tensor, deltas: Tensor) -> None:
        """∂ℓ/∂m_i = Σ over positions and the unit's features of a ⊙ ∂ℓ/∂a, for a scaled by m at m = 1."""
        of_features = (inputs * deltas).sum(1)
        of_units = of_features.unflatten(1, (group.count, group.width)).sum(2)
        self._mask_gradient[group.key] += of_units.sum(0)
        pending = self._pending[group.key]
        pending.append(of_units)
        if sum(map(len, pending)) >= PENDING_ROWS:
            self._flush(group.key)

    def _flush(self, key: str) -> None:
        if self._pending[key]:
            rows = torch.cat(self._pending[key])
            self._mask_fisher[key] += rows.T @ rows
            self._pending[key].clear()

    def statistics(self, count: int) -> Statistics:
        """The sums so far, of ``count`` examples."""
        for key in self._pending:
            self._flush(key)
        totals = (self._fisher, self._gradient, self._mask_gradient, self._mask_fisher)
        return Statistics(
            count, *({name: total.cpu().double() for name, total in part.items()} for part in totals)
        )
