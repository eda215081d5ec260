"""How to train where the caller leaves something open."""

import math
from dataclasses import dataclass
from typing import get_args

from speu_cli.errors import InputError
from speu_cli.unlearning.training import Schedule, TrainingSettings

EPOCHS = 5.0
LEARNING_RATE, MASKED_LEARNING_RATE = 1e-5, 2e-4
BATCH_SIZE = 32
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class TrainingChoice:
    """Settings of a training; None takes a default, those of the paper's appendix B.

    Attributes:
        epochs: Passes over the remaining set (FT, SA) or the forget set (the others): 5.
        learning_rate: 1e-5, with a mask 2e-4.
        batch_size: 32, which the paper does not say.
        weight_decay: 0.01.
        schedule: The learning rate falls linearly to zero, or stays.
        seed: Of the order of the examples, the remaining ones that are drawn, and dropout.

    Raises:
        InputError: A value is out of range.
    """

    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    schedule: Schedule | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _require_above("--epochs", self.epochs)
        _require_above("--learning-rate", self.learning_rate)
        _require_above("--batch-size", self.batch_size)
        decay = self.weight_decay
        if decay is not None and not (math.isfinite(decay) and decay >= 0):
            raise InputError(f"--weight-decay is {decay}, expected at least 0")
        if self.schedule not in {None, *get_args(Schedule)}:
            raise InputError(f"--schedule is {self.schedule!r}, expected linear or constant")

    def settings(self, *, masked: bool) -> TrainingSettings:
        """Fill in what was left open."""
        rate = MASKED_LEARNING_RATE if masked else LEARNING_RATE
        return self.over(TrainingSettings(EPOCHS, rate, BATCH_SIZE, WEIGHT_DECAY))

    def over(self, defaults: TrainingSettings) -> TrainingSettings:
        """Fill in what was left open from other settings; the seed is always this one's."""
        return TrainingSettings(
            epochs=defaults.epochs if self.epochs is None else self.epochs,
            learning_rate=defaults.learning_rate if self.learning_rate is None else self.learning_rate,
            batch_size=defaults.batch_size if self.batch_size is None else self.batch_size,
            weight_decay=defaults.weight_decay if self.weight_decay is None else self.weight_decay,
            seed=self.seed,
            schedule=defaults.schedule if self.schedule is None else self.schedule,
        )


def _require_above(option: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} is {value}, expected above 0")
