"""A recipe: everything that is to be chosen about a second-order step but the units that it moves."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from speu_cli.errors import InputError
from speu_cli.unlearning.forget_examples import ForgetExamples
from speu_cli.unlearning.forget_objective import ForgetObjective

Target = Literal["mean", "each"]


@dataclass(frozen=True)
class Recipe:
    """How a second-order step is made.

    Attributes:
        name: ``paper``, ``default``, or that of a file.
        target: ``mean``: along one direction until the mean forget loss is that of unseen examples (Eq. 10);
            or ``each``: every forgotten example to what an unseen one that was as hard would be known like.
        examples: With ``mean``: whose gradients enter the step; ``remembered`` are those below the unseen
            level, as if every loss were clipped there.
        objective: With ``mean``: of what: ``loss``, its ``root``, or ``margin``.
        hold_directions: With ``mean``: how fast the coherent directions of the statistics are held.
        damping: λ of each parameter tensor, as a multiple of its mean curvature.
        steps: How many, each with fresh gradients and the same curvature.
        ridge: With ``each``: ρ, how far a step may fall short of its targets to stay small, as a multiple of
            the mean of the diagonal of R P⁻¹ Rᵀ.
        held: With ``each``: remaining examples that are held where they are.
        anew: With ``each``: whether other remaining examples are held in each step; else always the same.
        settle: With ``each``: further steps, each what is left of the way and of the held examples' fall.
        follow: With ``each``: whether steps that settle go to what unseen examples are known like by then;
            else the targets stay. It takes the held-out examples, at least as many as the statistics know.
        terms: With ``each``: whether the start and the end of an answer have a target each; else the whole
            has one.
        dropout_passes: With ``each``: passes with dropout that tell which of the forgotten examples would be
            known better unseen; 0: those that are known better now.
        checked: With ``each``: other remaining examples that tell whether the step hurt.
        width: With ``each``: standard errors that a change of what is checked may have.
        otherwise: With ``each``: what to try next, in turn, while the criterion is not met.

    Raises:
        InputError: A value is out of range.
    """

    name: str
    target: Target
    examples: ForgetExamples = "all"
    objective: ForgetObjective = "loss"
    hold_directions: float | None = None
    damping: float = 0.1
    steps: int = 1
    ridge: float = 0.1
    held: int = 0
    anew: bool = False
    settle: int = 0
    follow: bool = False
    terms: bool = True
    dropout_passes: int = 0
    checked: int = 256
    width: float = 3.0
    otherwise: tuple["Recipe", ...] = ()

    def __post_init__(self) -> None:
        self._require("target", self.target in get_args(Target), "mean or each")
        self._require("examples", self.examples in get_args(ForgetExamples), "all or remembered")
        self._require("objective", self.objective in get_args(ForgetObjective), "loss, root or margin")
        held = self.hold_directions
        infinite = held == math.inf
        self._require(
            "hold_directions",
            held is None or infinite or (_is_number(held) and held > 0),
            "a number above 0, or inf",
        )
        self._require("damping", _is_number(self.damping) and self.damping >= 0, "a number of at least 0")
        self._require("ridge", _is_number(self.ridge) and self.ridge > 0, "a number above 0")
        if self.target == "each":
            for name, only in {"examples": "all", "objective": "loss", "hold_directions": None}.items():
                self._require(name, getattr(self, name) == only, "no value, as target is each")
        self._require("width", _is_number(self.width) and self.width > 0, "a number above 0")
        self._require("steps", _is_count(self.steps) and self.steps >= 1, "a whole number of at least 1")
        for name in ("anew", "follow", "terms"):
            self._require(name, isinstance(getattr(self, name), bool), "true or false")
        for name in ("held", "settle", "dropout_passes", "checked"):
            value = getattr(self, name)
            self._require(name, _is_count(value) and value >= 0, "a whole number of at least 0")

    def record(self) -> dict[str, Any]:
        """As JSON values: an infinite stiffness as a word."""
        values = asdict(self)
        if self.hold_directions == math.inf:
            values["hold_directions"] = "inf"
        return values

    @property
    def drawn(self) -> int:
        """Remaining examples that it holds in any of its steps."""
        return self.held * (self.rounds if self.anew else 1)

    @property
    def most_drawn(self) -> int:
        """Remaining examples that any way of the recipe holds in any of its steps."""
        return max(way.drawn for way in self.ways())

    @property
    def rounds(self) -> int:
        """Steps in all."""
        return self.steps + self.settle

    def held_in(self, step: int, drawn: int) -> list[int]:
        """Which of those that were drawn are held in a step, from 0; where they end it begins again."""
        count = min(self.held, drawn)
        first = count * step if self.anew else 0
        return [(first + number) % drawn for number in range(count)]

    def ways(self) -> Iterator["Recipe"]:
        """The recipe itself, and what to try next."""
        yield self
        yield from self.otherwise

    def with_damping(self, damping: float) -> "Recipe":
        """The recipe with another damping, whatever its ways say of it."""
        ways = tuple(replace(way, damping=damping) for way in self.otherwise)
        return replace(self, damping=damping, otherwise=ways)

    def _require(self, key: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"recipe {self.name}: {key} is {getattr(self, key)!r}, expected {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
