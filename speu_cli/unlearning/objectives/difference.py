"""GD, gradient difference: up on the forget set, down on the remaining one."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from speu_cli.unlearning.objectives.base import Moment, Set, with_retained

EpochOver = Literal["forget", "all"]


@dataclass(frozen=True)
class GradientDifference:
    """−ℓ(D_f) + α·ℓ(D_r).

    Attributes:
        retain_weight: α.
        epoch_over: An epoch passes over the ``forget`` set, as many remaining examples in each step; or over
            ``all`` of D, where the sign of ℓ is turned for those to forget.
    """

    retain_weight: float = 1.0
    epoch_over: EpochOver = "forget"

    with_reference: ClassVar[bool] = False
    dropout: ClassVar[bool] = True

    @property
    def over(self) -> tuple[Set, ...]:
        """D_f, or both sets."""
        return ("forget", "remaining") if self.epoch_over == "all" else ("forget",)

    @property
    def reads(self) -> tuple[Set, ...]:
        """Both sets."""
        return ("forget", "remaining") if self.retain_weight or self.epoch_over == "all" else ("forget",)

    def loss(self, moment: Moment) -> Tensor:
        """The difference of the means of ℓ over the two batches; of one batch of both, the mean of ±ℓ."""
        if self.epoch_over == "forget":
            return with_retained(-moment.mean_loss("forget"), self.retain_weight, moment)
        signs: dict[Set, float] = {"forget": -1.0, "remaining": self.retain_weight}
        there = [name for name in self.over if name in moment.sets]  # a batch may be of one of them alone
        return torch.cat([signs[name] * moment.sets[name].losses for name in there]).mean()
