"""Train a model, or slices of it, towards an objective."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback

from speu_cli.errors import UnsafeStepError
from speu_cli.structures.mask import Mask
from speu_cli.tasks.base import Task, logits_of
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.objectives.base import Moment, Objective, Scored, Set
from speu_cli.unlearning.slices import TrainableSlices
from speu_cli.unlearning.training import Place, TrainingSettings, run_trainer

ASKED_IN_A_PASS = 4
LOWER = "lower the learning rate, or train for fewer epochs"

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Course:
    """What a training did.

    Attributes:
        steps: Of the optimiser.
        trained: Entries that were trained.
        stopped: It was ended before its last epoch.
    """

    steps: int
    trained: int
    stopped: bool


@dataclass(frozen=True)
class Sets:
    """The examples that a training reads.

    Attributes:
        task: Gives their losses.
        encoded: Of each set; ``answers`` are the forget examples with other answers, in their order.
        references: log p under the original model of each set that needs it, ``[n]``.
    """

    task: Task
    encoded: Mapping[Set, Encoded]
    references: Mapping[Set, Tensor]

    def lengths(self, names: Sequence[Set]) -> list[int]:
        """Tokens of each example of some sets, one set after the other."""
        return [length for name in names for length in self.encoded[name].lengths]


def learn(
    model: PreTrainedModel,
    sets: Sets,
    objective: Objective,
    settings: TrainingSettings,
    *,
    mask: Mask | None = None,
    stop: Stop | None = None,
    place: Place | None = None,
) -> Course:
    """Train a model towards an objective, in place.

    Args:
        model: On the device of ``place``; is left in eval mode and without gradients.
        sets: The examples: those to forget, and the other sets that the objective reads.
        objective: What is minimised.
        settings: How to train; an epoch passes over what the objective names.
        mask: The units that may change. Default: all parameters may.
        stop: Is asked, the model in eval mode, four times in as many steps as a pass over the forget set
            takes, or after each of fewer; True ends the training. Default: it goes on to the last epoch.
        place: Device and progress. Default: the processor, and nobody is told.

    Returns:
        What was done.

    Raises:
        UnsafeStepError: The training diverged.
    """
    slices = None if mask is None else TrainableSlices(model, mask)
    if slices is None:
        model.requires_grad_(True)
    learner = _Learner(model, sets.task, objective, slices)
    batches = _Batches(sets, objective, settings.seed)
    a_pass = -(-len(sets.encoded["forget"]) // settings.batch_size)
    course = _Watch(learner, stop, every=max(1, a_pass // ASKED_IN_A_PASS))
    try:
        with nullcontext() if slices is None else slices.attached():
            steps = run_trainer(
                learner,
                sets.lengths(objective.over),
                batches.collate,
                settings,
                place or Place(),
                callbacks=[course],
                loss_of=lambda learner, batches: learner(**batches),
            )
    finally:
        model.eval().requires_grad_(False)
        model.zero_grad(set_to_none=True)
    if not all(parameter.isfinite().all() for parameter in learner.parameters()):
        raise UnsafeStepError(
            f"training diverged: got NaN or infinity after {steps} steps with learning rate "
            f"{settings.learning_rate:g}",
            hint=LOWER,
        )
    return Course(steps, sum(parameter.numel() for parameter in learner.parameters()), course.stopped)


class _Learner(nn.Module):
    """What the Trainer trains: gives the loss of a batch, and has the trained parameters and no others."""

    def __init__(
        self, model: PreTrainedModel, task: Task, objective: Objective, slices: TrainableSlices | None
    ) -> None:
        super().__init__()
        self.trained = model if slices is None else slices
        self.slices = slices
        self._hidden = (model,)
        self._task = task
        self._objective = objective
        self.done = 0.0

    def train(self, mode: bool = True) -> "_Learner":
        """Dropout is on only where the objective says so; the Trainer calls this before every step."""
        super().train(mode)
        self._hidden[0].train(mode and self._objective.dropout)
        return self

    def forward(
        self,
        forget: dict[str, Any] | None = None,
        remaining: dict[str, Any] | None = None,
        answers: dict[str, Any] | None = None,
    ) -> Tensor:
        """The loss of a batch of each set that is there."""
        batches: dict[Set, dict[str, Any] | None] = {
            "forget": forget,
            "remaining": remaining,
            "answers": answers,
        }
        scored = {name: self._score(batch) for name, batch in batches.items() if batch is not None}
        moment = Moment(scored, list(self.parameters()), self.done)
        loss = self._objective.loss(moment)
        if not loss.isfinite():
            raise UnsafeStepError(f"training diverged: the loss is {loss.item()}", hint=LOWER)
        return loss

    def _score(self, batch: Mapping[str, Any]) -> Scored:
        losses = self._task.losses(logits_of(self._hidden[0], batch["inputs"]), batch["labels"])
        if "reference" not in batch:
            return Scored(losses)
        sizes = self._task.sizes(batch["labels"])
        return Scored(losses, sizes.to(losses), batch["reference"].to(losses))


class _Batches:
    """Pairs each batch of what an epoch passes over with one of every other set that is read.

    Of several sets that it passes over, a batch has what comes of each, of some perhaps nothing. The forget
    set's answers are those of the same examples. Remaining examples are drawn without replacement, until all
    were used; then again in another order.
    """

    def __init__(self, sets: Sets, objective: Objective, seed: int) -> None:
        self._sets = sets
        self._objective = objective
        remaining = sets.encoded.get("remaining")
        self._drawn = _endless(0 if remaining is None else len(remaining), seed)

    def collate(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batches of one step."""
        places = [int(item["position"]) for item in items]
        batches: dict[str, Any] = {}
        first = 0
        for name in self._objective.over:
            after = first + len(self._sets.encoded[name])
            own = [place - first for place in places if first <= place < after]
            if own:
                batches[name] = self._batch(name, own)
            first = after
        for name in self._objective.reads:
            if name not in self._objective.over:
                batches[name] = self._batch(name, self._beside(name, places))
        return batches

    def _beside(self, name: Set, places: list[int]) -> list[int]:
        """What goes with examples to forget: remaining ones that are drawn, or their own other answers."""
        return [next(self._drawn) for _ in places] if name == "remaining" else places

    def _batch(self, name: Set, positions: list[int]) -> dict[str, Any]:
        inputs, labels = self._sets.encoded[name].collate(positions)
        batch: dict[str, Any] = {"inputs": inputs, "labels": labels}
        if name in self._sets.references:
            batch["reference"] = self._sets.references[name][positions]
        return batch


def _endless(count: int, seed: int) -> Iterator[int]:
    """Numbers below the count in random order, each once before any comes again."""
    generator = np.random.default_rng(seed)
    while count:
        yield from generator.permutation(count).tolist()


class _Watch(TrainerCallback):
    """Writes the slices into the model after every step, and ends the training when it is told to."""

    def __init__(self, learner: _Learner, stop: Stop | None, *, every: int) -> None:
        self._learner = learner
        self._stop = stop
        self._every = every
        self.stopped = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the learner how far it is."""
        self._learner.done = state.global_step / state.max_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bring the model up to date, and ask whether that is enough."""
        if self._learner.slices is not None:
            self._learner.slices.write()
        if self._stop is None or state.global_step % self._every:
            return
        self._learner.eval()
        if self._stop():
            self.stopped = state.global_step < state.max_steps
            control.should_training_stop = True
