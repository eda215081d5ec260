"""NPO, negative preference optimisation: ascent that fades as an example becomes unlikely."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from speu_cli.unlearning.objectives.base import Moment, Set, with_retained


@dataclass(frozen=True)
class NegativePreference:
    """(2/β)·log(1 + (p_θ/p_reference)^β), mean over D_f, + α·ℓ(D_r).

    Dropout is off, as it was for the reference: else the ratio is not 1 at the start.

    Attributes:
        beta: β; for β → 0 the gradient is that of ascent on log p.
        retain_weight: α; 0 is the paper's.
    """

    beta: float = 0.1
    retain_weight: float = 0.0

    over: ClassVar[tuple[Set, ...]] = ("forget",)
    with_reference: ClassVar[bool] = True
    dropout: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[Set, ...]:
        """D_f, and D_r where it counts."""
        return ("forget", "remaining") if self.retain_weight else ("forget",)

    def loss(self, moment: Moment) -> Tensor:
        """(2/β)·ln 2 at the reference, where its gradient is that of the mean of log p."""
        ratios = functional.softplus(self.beta * moment.sets["forget"].gain())
        return with_retained(2 / self.beta * ratios.mean(), self.retain_weight, moment)
