"""What a method of unlearning did to the model in memory, whichever method it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speu_cli.stages.chosen_mask import ChosenMask
from speu_cli.unlearning.criterion import Check
from speu_cli.unlearning.rate import Rate


@dataclass(frozen=True)
class Done:
    """What was done to the model.

    Attributes:
        chosen: The mask that it was done within.
        settings: How, as JSON values for the record.
        in_step: Examples whose gradients were used.
        remaining: n_r.
        entries: Parameter entries that could change, or with dampening those that did.
        rate: η and how it was found; None for a method without one.
        loss: Mean loss of the forget set afterwards.
        note: Something worth knowing, or None.
        target: Mean loss of the forget set if each example were at its own target; None without such.
        checks: Of the recipe's criterion, all met; none without one.
    """

    chosen: ChosenMask
    settings: dict[str, Any]
    in_step: int
    remaining: int
    entries: int
    rate: Rate | None
    loss: float
    note: str | None
    target: float | None = None
    checks: Sequence[Check] = ()
