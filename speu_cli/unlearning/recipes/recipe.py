"""A recipe: everything that is to be chosen about a second-order step but the units that it moves."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from speu_cli.errors import InputError
from speu_cli.unlearning.forget_examples import ForgetExamples

Target = Literal["mean", "each"]


@dataclass(frozen=True)
class Recipe:
    """How a second-order step is made.

    Attributes:
        name: ``paper``, ``default``, or that of a file.
        target: ``mean``: along one direction until the mean forget loss is that of unseen examples (Eq. 10);
            or ``each``: every forgotten example to what an unseen one of its rank is known like.
        examples: With ``mean``: whose gradients enter the step.
        damping: λ of each parameter tensor, as a multiple of its mean curvature.
        steps: How many, each with fresh gradients and the same curvature.
        ridge: With ``each``: ρ, how far a step may fall short of its targets to stay small, as a multiple of
            the mean of the diagonal of R P⁻¹ Rᵀ.
        held: With ``each``: remaining examples that are held where they are.
        repair: Steps of training on remaining examples afterwards, on the same slices.

    Raises:
        InputError: A value is out of range.
    """

    name: str
    target: Target
    examples: ForgetExamples = "all"
    damping: float = 0.1
    steps: int = 1
    ridge: float = 0.1
    held: int = 0
    repair: int = 0

    def __post_init__(self) -> None:
        self._require("target", self.target in get_args(Target), "mean or each")
        self._require("examples", self.examples in get_args(ForgetExamples), "all or remembered")
        self._require("damping", _is_number(self.damping) and self.damping >= 0, "a number of at least 0")
        self._require("ridge", _is_number(self.ridge) and self.ridge > 0, "a number above 0")
        self._require("steps", _is_count(self.steps) and self.steps >= 1, "a whole number of at least 1")
        for name in ("held", "repair"):
            value = getattr(self, name)
            self._require(name, _is_count(value) and value >= 0, "a whole number of at least 0")

    def _require(self, key: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"recipe {self.name}: {key} is {getattr(self, key)!r}, expected {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
