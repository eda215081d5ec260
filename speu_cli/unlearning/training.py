"""Fine-tuning with Hugging Face's Trainer: what makes the original model, and the retrained reference."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from speu_cli.errors import InputError
from speu_cli.progress import Progress, Silent
from speu_cli.tasks.base import Task, logits_of
from speu_cli.tasks.encoded import Encoded

# Of all gradients of a step together; larger ones are scaled down.
MAX_GRADIENT_NORM = 1.0

Schedule = Literal["linear", "constant"]
Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
LossOf = Callable[[Any, dict[str, Any]], Tensor]


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the paper's (A.1, which uses learning rates from 1e-5 to 5e-5).

    Attributes:
        epochs: Passes over the data; may be a fraction.
        learning_rate: Of AdamW, falling linearly to zero.
        batch_size: Examples in one step.
        weight_decay: Of AdamW; biases and normalisation layers have none.
        seed: Of the order of the examples and of dropout.
        schedule: The learning rate falls linearly to zero, or stays.
    """

    epochs: float = 5.0
    learning_rate: float = 5e-5
    batch_size: int = 32
    weight_decay: float = 0.0
    seed: int = 0
    schedule: Schedule = "linear"


@dataclass(frozen=True)
class Place:
    """Where a training runs.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``; with several of a kind, the first.
        progress: Is told of every step.
    """

    device: str = "cpu"
    progress: Progress = field(default_factory=Silent)


def fine_tune(
    model: PreTrainedModel,
    task: Task,
    encoded: Encoded,
    settings: TrainingSettings,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> int:
    """Train all parameters of a model, in place.

    The loss is the mean of the task's per-example losses. Examples of like length share a batch.

    Args:
        model: Float32; is left on ``device``, in eval mode and without gradients.
        task: Gives the losses.
        encoded: The training examples.
        settings: How to train.
        device: ``cpu``, ``cuda`` or ``mps``; with several of a kind, the first.
        progress: Is told of every step. Default: nobody.

    Returns:
        The number of steps.

    Raises:
        InputError: The training diverged, or the settings make no step.
    """

    def mean_loss(model: Any, inputs: dict[str, Any]) -> Tensor:
        labels = inputs.pop("labels")
        return task.losses(logits_of(model, inputs), labels).mean()

    def collate(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        inputs, labels = encoded.collate([item["position"] for item in items])
        return {**inputs, "labels": labels}

    model.requires_grad_(True)
    place = Place(device, progress or Silent())
    steps = run_trainer(model, encoded.lengths, collate, settings, place, loss_of=mean_loss)
    model.eval().requires_grad_(False)
    model.zero_grad(set_to_none=True)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise InputError(
            f"training diverged: got NaN or infinity after {steps} steps",
            hint=f"lower the learning rate, which was {settings.learning_rate:g}",
        )
    return steps


def run_trainer(
    trained: nn.Module,
    lengths: Sequence[int],
    collate: Collate,
    settings: TrainingSettings,
    place: Place,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    loss_of: LossOf,
) -> int:
    """Run Hugging Face's Trainer over examples; those of like length share a batch.

    Args:
        trained: Its parameters that require gradients are trained.
        lengths: Tokens of each example that an epoch passes over.
        collate: Makes a batch of items that name a ``position``.
        settings: How to train.
        place: Where.
        callbacks: Are told of the course of the training too.
        loss_of: Gives the loss of a batch.

    Returns:
        The number of steps.
    """
    with tempfile.TemporaryDirectory() as unused, _Steps.told_to(place.progress) as steps:
        trainer = _OfLoss(
            loss_of,
            trained,
            _arguments(settings, place.device, unused),
            data_collator=collate,
            train_dataset=_Positions(lengths),
            callbacks=[*callbacks, steps],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output
        return int(trainer.train().global_step)


def _arguments(settings: TrainingSettings, device: str, folder: str) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        weight_decay=settings.weight_decay,
        max_grad_norm=MAX_GRADIENT_NORM,
        seed=settings.seed,
        optim="adamw_torch_fused",  # one pass over the weights; same arithmetic
        lr_scheduler_type=settings.schedule,
        train_sampling_strategy="group_by_length",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    # With several GPUs the Trainer would make the batch as many times larger.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


class _OfLoss(Trainer):
    """Trains on a loss that is made here, not by the model."""

    def __init__(self, loss_of: LossOf, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._loss_of = loss_of

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **options: Any) -> Tensor:
        """The loss of a batch."""
        return self._loss_of(model, inputs)


class _Positions(Dataset[dict[str, Any]]):
    """Positions of the examples, and something as long, by which the Trainer groups them by length."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return {"position": position, "input_ids": range(self._lengths[position])}


class _Steps(TrainerCallback):
    """Hands the Trainer's steps on to a progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._steps: Iterator[int] = iter(())

    @classmethod
    @contextmanager
    def told_to(cls, progress: Progress) -> Iterator["_Steps"]:
        """Give a callback, and end its progress however the training ends."""
        steps = cls(progress)
        try:
            yield steps
        finally:
            steps.close()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the count."""
        total = state.max_steps
        self._steps = iter(self._progress.track(range(total), total=total, description="training"))
        next(self._steps, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count one step."""
        next(self._steps, None)

    def close(self) -> None:
        """End the count."""
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()
