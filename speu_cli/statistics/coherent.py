"""The pass that sums directions: plain forward and backward passes over a sample of the examples."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speu_cli.data.batches import Batch, Schedule
from speu_cli.progress import Progress
from speu_cli.statistics.by_autograd import differentiable
from speu_cli.statistics.memory import give_back, out_of_memory
from speu_cli.statistics.running import shape_of, wide
from speu_cli.statistics.steps import Step
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.structures.entries import take
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded


class DirectionSums:
    """Sums of s_k(x) · ∂q/∂θ, on the CPU: on a device there is one parameter's gradient at a time.

    Args:
        model: No parameter requires gradients.
        wanted: Which directions, of which parts of which parameters.

    Attributes:
        sums: U, by parameter name, ``[K, *shape]`` in float32 at least.
        weights: Σ |s_k(x)|, float64 ``[K]``.
    """

    def __init__(self, model: PreTrainedModel, wanted: Wanted) -> None:
        self._model, self._wanted = model, wanted
        self.sums, self.weights = empty_directions(model, wanted)
        self._current = 0

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take the gradients of backward passes, for a while."""
        with differentiable(self._model, self._wanted.parameters) as parameters:
            handles = [
                parameter.register_post_accumulate_grad_hook(self._taker(name))
                for name, parameter in parameters.items()
            ]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def add(self, task: Task, step: Step, weights: Tensor) -> None:
        """Add a batch, one backward pass for each direction that it has a part in.

        Args:
            task: Gives q.
            step: The batch.
            weights: s, ``[n, K]``.
        """
        with torch.enable_grad():
            standings = step.standings(self._model, task)
            moved = weights.ne(0).any(0).nonzero()[:, 0].tolist() if standings.requires_grad else []
            for k in moved:
                self._current = k
                along = (weights[:, k].to(standings) * standings).sum()
                along.backward(retain_graph=k != moved[-1])
        self.weights += weights.abs().sum(0)

    def _taker(self, name: str) -> Callable[[Tensor], None]:
        part, sums = self._wanted.parameters[name], self.sums[name]

        def take_gradient(parameter: Tensor) -> None:
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                if part is not None:
                    gradient = take(gradient, part.axes, part.indices.to(gradient.device))
                sums[self._current] += gradient.to("cpu", sums.dtype)

        return take_gradient


def empty_directions(model: nn.Module, wanted: Wanted) -> tuple[dict[str, Tensor], Tensor]:
    """Sums over no example; none at all where no directions are wanted.

    Args:
        model: The model.
        wanted: What is collected.

    Returns:
        U and the weights' totals, on the CPU, or on the meta device where the model is.
    """
    if wanted.directions is None:
        return {}, torch.zeros(0, dtype=torch.float64)
    count = wanted.directions.count
    return (
        {name: _zeros(model.get_parameter(name), part, count) for name, part in wanted.parameters.items()},
        torch.zeros(count, dtype=torch.float64),
    )


def _zeros(parameter: Tensor, part: Part | None, count: int) -> Tensor:
    place = "meta" if parameter.is_meta else "cpu"
    return torch.zeros(count, *shape_of(parameter, part), dtype=wide(parameter.dtype), device=place)


def sum_directions(
    model: PreTrainedModel,
    task: Task,
    encoded: Encoded,
    wanted: Wanted,
    *,
    batch_tokens: int,
    progress: Progress,
    between_batches: Callable[[], None],
) -> tuple[Mapping[str, Tensor], Tensor]:
    """Sum directions over the examples that are in their sample.

    Args:
        model: In eval mode, no parameter requiring gradients.
        task: Gives q.
        encoded: The examples; those outside of the sample are left out.
        wanted: Which directions, of which parts of which parameters, over which sample.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch.
        between_batches: Called after each; may raise to end the run.

    Returns:
        U, by parameter name, and Σ |s_k(x)|: ``[K, *shape]`` in float32 at least, and float64 ``[K]``.

    Raises:
        torch.OutOfMemoryError: One example is too large; on a CPU it is a RuntimeError or MemoryError.
        RuntimeError: Likewise, or another fault of a computation.
        MemoryError: Likewise.
    """
    if wanted.directions is None:
        return empty_directions(model, wanted)
    members = torch.isin(encoded.keys, wanted.directed).nonzero()[:, 0].tolist()
    chosen = encoded.select(members)
    weights = wanted.directions.weights(chosen.labels, chosen.keys)
    while True:
        sums, batches = DirectionSums(model, wanted), _batches(weights, chosen.lengths, batch_tokens)
        try:
            with sums.attached():
                for batch in progress.track(batches, total=sum(chosen.lengths), description="directions"):
                    sums.add(task, Step.of(chosen, batch, model.device), weights[list(batch)])
                    between_batches()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            # The sample is small: it is begun again rather than taken up in the midst of a batch.
            if not out_of_memory(error) or batch_tokens <= max(chosen.lengths):
                raise
        else:
            return sums.sums, sums.weights
        batch_tokens //= 2
        progress.note(f"out of memory: directions in batches of {batch_tokens} tokens")
        give_back(model.device)


def _batches(weights: Tensor, lengths: list[int], batch_tokens: int) -> list[Batch]:
    """Batches of examples that have parts in the same directions: no backward pass is for a few of them."""
    if not len(weights):
        return []
    _, kinds = weights.ne(0).unique(dim=0, return_inverse=True)
    batches = []
    for kind in kinds.unique().tolist():
        members = kinds.eq(kind).nonzero()[:, 0].tolist()
        own = Schedule([lengths[i] for i in members], batch_tokens)
        batches += [Batch([members[i] for i in batch], batch.tokens) for batch in own]
    return batches
