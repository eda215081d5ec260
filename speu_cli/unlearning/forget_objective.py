"""What a step along one direction goes up: the loss of the forget examples, or a function of it.

The gradient of the loss is that of the margin weighted by how badly an example is known: with the loss a few
hard examples make the step, with the margin every one counts alike, and the root lies between.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from speu_cli.tasks.base import Task
from speu_cli.tasks.log_odds import LEAST_LOSS

ForgetObjective = Literal["loss", "root", "margin"]


@dataclass(frozen=True)
class Ascended:
    """The number of each example whose gradient enters the step.

    Attributes:
        task: Gives the loss ℓ.
        objective: ``loss``: ℓ; ``root``: √ℓ; ``margin``: −z, see :mod:`speu_cli.tasks.margins`.
    """

    task: Task
    objective: ForgetObjective

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each example, ``[n]``."""
        losses = self.task.losses(logits, labels)
        if self.objective == "loss":
            return losses
        if self.objective == "root":
            return losses.clamp(min=LEAST_LOSS).sqrt()
        return -self.task.margins.differentiable(losses.double()).to(losses.dtype)
