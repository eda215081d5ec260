"""One pass over examples: exact per-example statistics at about the price of a training step."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.data.batches import Batch, Schedule
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.by_autograd import example_gradients
from speu_cli.statistics.check import check_dropout, check_rules
from speu_cli.statistics.coherent import sum_directions
from speu_cli.statistics.factors import Dense, Factor, Summed
from speu_cli.statistics.listening import Heard, Listener
from speu_cli.statistics.memory import give_back, out_of_memory
from speu_cli.statistics.running import RunningSums
from speu_cli.statistics.steps import Step
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.trial import FIRST, find_batch_tokens
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.layout import Layout, UnitGroup
from speu_cli.tasks.base import Loss, Task
from speu_cli.tasks.encoded import Encoded

SHOWN = 5
CHECKED_EXAMPLES = 2


@dataclass(frozen=True)
class Collected:
    """Statistics of a set.

    Attributes:
        statistics: The sums.
        losses: Of the examples in their order, float64 ``[n]``.
        batch_tokens: Tokens in a batch, at the end.
        resumed: How many of the examples an earlier process had added.
    """

    statistics: Statistics
    losses: Tensor
    batch_tokens: int
    resumed: int = 0


class Keeper(Protocol):
    """Keeps a pass over a long set, so that a later process can go on with it."""

    def load(self) -> dict[str, Tensor] | None:
        """What was kept last; None if nothing was."""
        ...

    def between_batches(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the state if it is time to; may raise to end the run."""
        ...

    def interrupted(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the state of a run that is about to end with an error."""
        ...


def collect(
    model: PreTrainedModel,
    layout: Layout,
    task: Task,
    encoded: Encoded,
    *,
    batch_tokens: int | None,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    description: str = "statistics",
    dtype: torch.dtype = torch.float64,
    keeper: Keeper | None = None,
    loss: Loss | None = None,
) -> Collected:
    """Compute the statistics of a set of examples (Eq. 3; lines 2–11 of Algorithm 1).

    Each square is of one example's gradient; the result does not depend on how examples are batched.

    Args:
        model: In eval mode, no parameter requiring gradients.
        layout: Its units.
        task: Gives the loss of each example.
        encoded: The examples; may be empty.
        batch_tokens: Tokens in a padded batch. None: as many as pay and fit, found by trial.
        wanted: What is collected. Default: everything of the parameters that units own parts of.
        progress: Is told of every batch. Default: nobody.
        description: What the progress is called.
        dtype: Of the result; float32 makes no copy of what was summed in it.
        keeper: Keeps long runs. Default: nobody.
        loss: What is differentiated. Default: the loss of the task.

    Returns:
        The sums, on the CPU, and the losses.
    """
    wanted = wanted or Wanted(wanted_parameters(model, layout, "structures"))
    check_dropout(model)
    kept = keeper.load() if keeper else None
    run = Pass(model, layout, loss or task, encoded, wanted, batch_tokens or FIRST, progress or Silent())
    with run.attached():
        if kept is not None:
            run.restore(kept)
        elif batch_tokens is None:
            run.find_batch_tokens()
        resumed = run.sums.examples
        run.go_through(description, keeper)
    along, weights = run.directions(task, keeper)
    statistics = replace(run.sums.statistics(dtype), directions=along, direction_weights=weights)
    return Collected(statistics, run.losses, run.schedule.max_tokens, resumed)


class Pass:
    """A pass over examples, batch by batch, that can be left and taken up between batches.

    Args:
        model: As of :func:`collect`.
        layout: Likewise.
        task: Likewise.
        encoded: Likewise.
        wanted: Likewise.
        batch_tokens: Likewise.
        progress: Likewise.

    Attributes:
        sums: What has been added so far.
        losses: Of the examples so far.
        schedule: What is to come.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layout: Layout,
        task: Loss,
        encoded: Encoded,
        wanted: Wanted,
        batch_tokens: int,
        progress: Progress,
    ) -> None:
        self._model, self._task, self._encoded, self._progress = model, task, encoded, progress
        self._wanted = wanted
        self._listener = Listener(model, layout, set(wanted.parameters), units=wanted.mask_statistics)
        # Whose mask variables no module's input has: their gradients come of those of the output projection.
        self._by_identity = {
            group.slices[-1].parameter: group
            for group in layout
            if wanted.mask_statistics and group.output is None
        }
        self.sums = RunningSums(model, layout, wanted)
        self.losses = torch.zeros(len(encoded), dtype=torch.float64)
        self.schedule = Schedule(encoded.lengths, batch_tokens)
        # Examples whose batches are done; whether nothing of another is in the sums; whether one is in part.
        self._done = 0
        self._whole = True
        self._torn = False

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen to the model, once its rules were found to fit it."""
        with self._listener.attached(self._model):
            if len(self._encoded):
                shortest = sorted(range(len(self._encoded)), key=self._encoded.lengths.__getitem__)
                step = Step.of(self._encoded, shortest[:CHECKED_EXAMPLES], self._model.device)
                unheard = check_rules(self._model, self._task, self._listener, step)
                self._listener.leave_to_autograd(self._model, unheard)
            self._tell_of(self._listener.without_rule | self._by_identity.keys())
            yield

    def _tell_of(self, names: Collection[str]) -> None:
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            self._progress.note(
                f"no rule for the layers of {len(names)} parameters: autograd differentiates them one "
                f"example at a time, which is slow: {shown}"
            )

    def go_through(self, description: str, keeper: Keeper | None) -> None:
        """Add all examples that have not been added."""
        steps = self._progress.track(self.schedule, total=self.schedule.tokens_left, description=description)
        with self._kept(keeper):
            for batch in steps:
                self.add(batch)
                self._done, self._whole = self.schedule.done, True
                if keeper:
                    keeper.between_batches(self.state)

    def directions(self, task: Task, keeper: Keeper | None) -> tuple[Mapping[str, Tensor], Tensor]:
        """Sum the directions that are wanted, once all examples have been added.

        A run that is taken up again begins here from the start.

        Args:
            task: Gives what they are directions of.
            keeper: Keeps what was added before.

        Returns:
            U and the weights' totals.
        """

        def between_batches() -> None:
            if keeper:
                keeper.between_batches(self.state)

        with self._kept(keeper):
            return sum_directions(
                self._model,
                task,
                self._encoded,
                self._wanted,
                batch_tokens=self.schedule.max_tokens,
                progress=self._progress,
                between_batches=between_batches,
            )

    @contextmanager
    def _kept(self, keeper: Keeper | None) -> Iterator[None]:
        """Keep what was added when an error ends the run."""
        try:
            yield
        except BaseException:
            if keeper and self._whole:
                keeper.interrupted(self.state)
            raise

    def find_batch_tokens(self) -> None:
        """Settle the size of the batches by trial; nothing of the trial stays in the sums."""

        def fits(batch: Batch) -> bool:
            try:
                self._add_at_once(batch, set())
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                return False
            return True

        self.schedule.max_tokens = find_batch_tokens(fits, self._encoded.lengths, self._model.device)
        self.sums.clear()
        self._torn = False
        self._progress.note(f"batches of {self.schedule.max_tokens} tokens")

    def add(self, batch: Batch, added: Collection[str] = ()) -> None:
        """Add a batch; where memory does not suffice, in halves, and let later batches be as small.

        Args:
            batch: Positions of examples.
            added: What of these examples was added before memory ran out.

        Raises:
            torch.OutOfMemoryError: One example is too large, or was added in part; on a CPU it is a
                RuntimeError or MemoryError.
            RuntimeError: Likewise, or another fault of a computation.
            MemoryError: Likewise.
        """
        done = set(added)
        try:
            self._add_at_once(batch, done)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or len(batch) == 1 or self._torn:
                raise
            lengths, middle = self._encoded.lengths, len(batch) // 2
            self.schedule.max_tokens = min(self.schedule.max_tokens, max(lengths[i] for i in batch) * middle)
            self._progress.note(f"out of memory: batches of {self.schedule.max_tokens} tokens from here on")
            give_back(self._model.device)
        else:
            return
        # What was added of the whole batch stays added: its halves bring the rest.
        for half in (batch[:middle], batch[middle:]):
            self.add(Batch(half, sum(lengths[i] for i in half)), done)

    def _add_at_once(self, batch: Batch, done: set[str]) -> None:
        step = Step.of(self._encoded, batch, self._model.device)

        def add_parameter(name: str, factor: Factor) -> None:
            if name not in done:
                self._torn = isinstance(factor, Summed)  # these are added example by example
                self.sums.add_parameter(name, factor)
                self._torn = False
                done.add(name)

        def add_mask_gradients(group: UnitGroup, gradients: Tensor) -> None:
            if group.key not in done:
                self.sums.add_mask_gradients(group, gradients, step.keys)
                done.add(group.key)

        heard = Heard(add_parameter, add_mask_gradients)
        with (
            torch.enable_grad(),
            self._listener.hearing(step.spans, step.positions, heard, windows=step.windows),
        ):
            losses = step.losses(self._model, self._task)
            self._whole = False
            if losses.requires_grad:
                losses.sum().backward()
        self._add_by_autograd(step, done)
        self.losses[list(batch)] = losses.detach().to("cpu", torch.float64)
        self.sums.batch_done(len(batch))

    def _add_by_autograd(self, step: Step, done: set[str]) -> None:
        names = self._listener.without_rule - done
        groups = {name: one for name, one in self._by_identity.items() if one.key not in done}
        if names or groups:
            gradients = example_gradients(self._model, self._task, step, names | groups.keys())
            for k, of_example in enumerate(gradients):
                self._torn = True  # some of the examples are in, others not yet
                for name in names:
                    self.sums.add_parameter(name, Dense(of_example[name][None].clone))
                for name, group in groups.items():
                    products = self._model.get_parameter(name) * of_example[name]
                    of_units = group.sum_by_unit(products)[None]
                    self.sums.add_mask_gradients(group, of_units, step.keys[k : k + 1])
            self._torn = False
            done |= names | {group.key for group in groups.values()}

    def state(self) -> dict[str, Tensor]:
        """Everything that :meth:`restore` needs."""
        place = torch.tensor([self._done, self.schedule.max_tokens])
        return {"schedule": place, "losses": self.losses, **self.sums.state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state of the same pass."""
        self.schedule.done, self.schedule.max_tokens = state["schedule"].tolist()
        self._done = self.schedule.done
        self.losses.copy_(state["losses"])
        self.sums.restore(state)
