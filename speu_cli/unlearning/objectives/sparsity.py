"""SA, sparsity-aware unlearning: FT that draws the trained weights to zero."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from speu_cli.unlearning.objectives.base import Moment, Set

GammaSchedule = Literal["constant", "linear"]


@dataclass(frozen=True)
class SparsityAware:
    """ℓ(D_r) + γ_t·‖θ‖₁, the norm over what is trained.

    Attributes:
        gamma: γ; the default is the paper's.
        gamma_schedule: γ_t = γ, or γ·(1 − t/T) after t of T steps.
    """

    gamma: float = 5e-5
    gamma_schedule: GammaSchedule = "constant"

    over: ClassVar[tuple[Set, ...]] = ("remaining",)
    with_reference: ClassVar[bool] = False
    dropout: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Set, ...]:
        """D_r alone."""
        return ("remaining",)

    def weight(self, done: float) -> float:
        """γ_t once this fraction of the steps lies behind."""
        return self.gamma * (1.0 if self.gamma_schedule == "constant" else 1.0 - done)

    def loss(self, moment: Moment) -> Tensor:
        """Mean of ℓ over the batch, and the penalty."""
        norm = torch.stack([values.abs().sum() for values in moment.trained]).sum()
        return moment.mean_loss("remaining") + self.weight(moment.done) * norm
