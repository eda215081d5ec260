"""How a second-order step is made."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from speu_cli.errors import InputError
from speu_cli.unlearning.forget_examples import ForgetExamples

INFINITE = "inf"


@dataclass(frozen=True)
class StepSettings:
    """How a second-order step is made; recorded with the model that it gives.

    Attributes:
        damping: λ of each parameter tensor, as a multiple of its mean curvature.
        rate: η; None = the one at which the forget loss meets the target.
        target_loss: Mean loss of unseen examples; None where it is not known.
        max_overshoot: Most that the forget loss may be after the step, as a multiple of the target.
        forget_examples: Whose gradients enter the step.
        stiffness: How fast the coherent directions of the remaining examples are held: a step moves along a
            lone one 1 + stiffness times less, not at all at infinity. None: they are not looked at.

    Raises:
        InputError: A value is out of range, or the rate is to be found without a target.
    """

    damping: float
    rate: float | None
    target_loss: float | None
    max_overshoot: float
    forget_examples: ForgetExamples
    stiffness: float | None = None

    def __post_init__(self) -> None:
        rate, target = self.rate, self.target_loss
        _require(self.damping >= 0, "--damping", self.damping, "at least 0")
        _require(rate is None or rate > 0, "--rate", rate, "auto or a number above 0")
        _require(target is None or target > 0, "--target-loss", target, "above 0")
        _require(self.max_overshoot >= 1, "--max-overshoot", self.max_overshoot, "at least 1")
        if self.stiffness is not None and not self.stiffness > 0:
            raise InputError(f"--hold-directions is {self.stiffness}, expected a number above 0, or inf")
        known = self.forget_examples in get_args(ForgetExamples)
        _require(known, "--forget-examples", self.forget_examples, "all or remembered")
        if target is None and (rate is None or self.forget_examples == "remembered"):
            raise InputError(
                "what unseen examples look like is not known: there is no held-out set and no target loss",
                hint="compute them with 'speu fisher --holdout', or give --target-loss, "
                "or a fixed --rate with --forget-examples all",
            )

    def record(self) -> dict[str, Any]:
        """As JSON values: an infinite stiffness as a word, and none where directions are not looked at."""
        values = asdict(self)
        if self.stiffness is None:
            del values["stiffness"]
        elif math.isinf(self.stiffness):
            values["stiffness"] = INFINITE
        return values

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "StepSettings":
        """Read a :meth:`record`."""
        values = dict(record)
        if values.get("stiffness") == INFINITE:
            values["stiffness"] = math.inf
        return cls(**values)


def _require(holds: bool, option: str, value: object, expected: str) -> None:
    if not holds or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{option} is {value}, expected {expected}")
