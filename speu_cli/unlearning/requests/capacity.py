"""How much more forgetting a model bears: how far it has moved from θ*, and what that did to it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from speu_cli.errors import InputError
from speu_cli.evaluation.gates import Gate, check, parse
from speu_cli.structures.layout import Layout

OF_SETS = {"holdout": ("holdout.loss", "holdout.rise"), "remaining": ("remaining.loss", "remaining.rise")}
NAMES = ("drift.norm", "drift.share", "forgotten_share", *OF_SETS["holdout"], *OF_SETS["remaining"])


@dataclass(frozen=True)
class Drift:
    """How far a model has moved, over the parameters that heads and filters own parts of.

    Attributes:
        norm: ‖θ^t − θ*‖.
        share: The same, divided by ‖θ*‖.
        layers: ‖θ^t − θ*‖ of each layer, from the first.
    """

    norm: float
    share: float
    layers: list[float]


@dataclass(frozen=True)
class Level:
    """Mean loss of watched examples.

    Attributes:
        examples: How many they are; forgotten ones are no longer among them.
        start: At θ*.
        after: At the new model.
    """

    examples: int
    start: float
    after: float

    @property
    def rise(self) -> float:
        """What forgetting has added."""
        return self.after - self.start


@dataclass(frozen=True)
class Capacity:
    """What a state's model has borne.

    Attributes:
        drift: How far it has moved.
        forgotten_share: Part of the training set that is forgotten.
        holdout: Loss of held-out examples; None if none are watched.
        remaining: Loss of remaining examples; None if none are watched.
    """

    drift: Drift
    forgotten_share: float
    holdout: Level | None
    remaining: Level | None

    def values(self) -> dict[str, float]:
        """What a threshold may be set on, by name, as far as it is known."""
        values = {
            "drift.norm": self.drift.norm,
            "drift.share": self.drift.share,
            "forgotten_share": self.forgotten_share,
        }
        for name, level in (("holdout", self.holdout), ("remaining", self.remaining)):
            if level is not None:
                values |= {f"{name}.loss": level.after, f"{name}.rise": level.rise}
        return values

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Capacity":
        """Read what a ledger's entry says."""
        levels = {
            name: Level(**record[name]) if record[name] is not None else None
            for name in ("holdout", "remaining")
        }
        return cls(Drift(**record["drift"]), record["forgotten_share"], **levels)


def drift(layout: Layout, original: Mapping[str, Tensor], model: nn.Module) -> Drift:
    """Measure how far a model has moved.

    Args:
        layout: Its units.
        original: Parameters of θ* that units own parts of, by name.
        model: θ^t.

    Returns:
        The distance.
    """
    moved, size = [0.0] * (1 + max(group.layer for group in layout)), 0.0
    for name, (group, _) in layout.parameters.items():
        # On the processor: θ* may be there alone, and not every device has float64.
        before, after = original[name].cpu().double(), model.get_parameter(name).cpu().double()
        moved[group.layer] += float((after - before).square().sum())
        size += float(before.square().sum())
    norm = math.sqrt(sum(moved))
    return Drift(norm, norm / math.sqrt(size) if size else 0.0, [math.sqrt(one) for one in moved])


def thresholds(expressions: Iterable[str], watched: Mapping[str, bool]) -> list[Gate]:
    """Read the thresholds at which a model is to be retrained.

    Args:
        expressions: Such as ``drift.share>0.01``.
        watched: Whether held-out and remaining examples are watched.

    Returns:
        The thresholds.

    Raises:
        InputError: There is no such value, or it is not watched.
    """
    gates = [parse(expression) for expression in expressions]
    for gate in gates:
        if gate.metric not in NAMES:
            raise InputError(
                f"--retrain-when {gate.expression!r}: no value '{gate.metric}', expected one of "
                + ", ".join(NAMES)
            )
        if gate.part != "value" or gate.unit:
            raise InputError(f"--retrain-when {gate.expression!r}: expected a plain number as the bound")
        for name, metrics in OF_SETS.items():
            if gate.metric in metrics and not watched[name]:
                how = "give --holdout" if name == "holdout" else "give --watch a number above 0"
                raise InputError(
                    f"--retrain-when {gate.expression!r}: no {name} examples are watched", hint=how
                )
    return gates


def reached(expressions: Iterable[str], capacity: Capacity) -> list[str]:
    """Find the thresholds that a model has reached; one that can no longer be told counts as reached.

    Args:
        expressions: As in :func:`thresholds`.
        capacity: What the model has borne.

    Returns:
        A line for each.
    """
    results = check(map(parse, expressions), capacity.values())
    return [f"{one.expression} ({one.reason})" for one in results if one.passed or one.value is None]
