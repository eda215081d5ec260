"""DPO, direct preference optimisation: prefer "I don't know" to the answer that is to be forgotten."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from speu_cli.unlearning.objectives.base import Moment, Set, with_retained


@dataclass(frozen=True)
class DirectPreference:
    """−(2/β)·log σ(β·(r(answer) − r(forget))), r = log p_θ − log p_reference, mean, + α·ℓ(D_r).

    The factor 2/β is NPO's, so that both have one scale. Dropout is off, as it was for the reference.

    Attributes:
        beta: β.
        retain_weight: α; 0 is the paper's.
    """

    beta: float = 0.1
    retain_weight: float = 0.0

    over: ClassVar[tuple[Set, ...]] = ("forget",)
    with_reference: ClassVar[bool] = True
    dropout: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[Set, ...]:
        """D_f with its own and with the other answers, and D_r where it counts."""
        return ("forget", "answers", "remaining") if self.retain_weight else ("forget", "answers")

    def loss(self, moment: Moment) -> Tensor:
        """(2/β)·ln 2 at the reference."""
        preference = moment.sets["answers"].gain() - moment.sets["forget"].gain()
        loss = -2 / self.beta * functional.logsigmoid(self.beta * preference).mean()
        return with_retained(loss, self.retain_weight, moment)
