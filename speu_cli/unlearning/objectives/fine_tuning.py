"""FT: go on training on the remaining set, and trust that the rest fades."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from speu_cli.unlearning.objectives.base import Moment, Set


@dataclass(frozen=True)
class FineTuning:
    """ℓ(D_r)."""

    over: ClassVar[tuple[Set, ...]] = ("remaining",)
    with_reference: ClassVar[bool] = False
    dropout: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Set, ...]:
        """D_r alone."""
        return ("remaining",)

    def loss(self, moment: Moment) -> Tensor:
        """Mean of ℓ over the batch."""
        return moment.mean_loss("remaining")
