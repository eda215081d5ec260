"""GA: gradient ascent on the forget set."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from speu_cli.unlearning.objectives.base import Moment, Set


@dataclass(frozen=True)
class GradientAscent:
    """−ℓ(D_f)."""

    over: ClassVar[tuple[Set, ...]] = ("forget",)
    with_reference: ClassVar[bool] = False
    dropout: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Set, ...]:
        """D_f alone."""
        return ("forget",)

    def loss(self, moment: Moment) -> Tensor:
        """Minus the mean of ℓ over the batch."""
        return -moment.mean_loss("forget")
