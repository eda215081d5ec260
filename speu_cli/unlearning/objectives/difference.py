"""GD, gradient difference: up on the forget set, down on as many remaining examples."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from speu_cli.unlearning.objectives.base import Moment, Set, with_retained


@dataclass(frozen=True)
class GradientDifference:
    """−ℓ(D_f) + α·ℓ(D_r).

    Attributes:
        retain_weight: α.
    """

    retain_weight: float = 1.0

    over: ClassVar[Set] = "forget"
    with_reference: ClassVar[bool] = False
    dropout: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Set, ...]:
        """Both sets."""
        return ("forget", "remaining") if self.retain_weight else ("forget",)

    def loss(self, moment: Moment) -> Tensor:
        """The difference of the means of ℓ over the two batches."""
        return with_retained(-moment.mean_loss("forget"), self.retain_weight, moment)
