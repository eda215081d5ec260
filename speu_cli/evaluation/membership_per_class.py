"""Membership inference with one threshold for each class, by confidence, entropy and modified entropy.

These are the attacks of Song and Mittal, "Systematic evaluation of privacy risks of machine learning models"
(USENIX Security 2021). The attacker knows the true class of every example. As in `membership` the attack is
fitted on equal numbers of remaining and test examples of the model itself: there is no shadow model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from speu_cli.evaluation import intervals
from speu_cli.evaluation.membership import auc, best_threshold
from speu_cli.evaluation.metric import Metric, not_computed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from speu_cli.tasks.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
# By the name of the attack: what is higher for members.
SIGNALS: Mapping[str, Callable[[Outcomes], Floats]] = {
    "confidence_per_class": lambda outcomes: outcomes.confidences,
    "entropy": lambda outcomes: -outcomes.answers["entropy"],
    "modified_entropy": lambda outcomes: -outcomes.answers["modified_entropy"],
}
_MADE_OF = {"labels", "entropy", "modified_entropy"}


@dataclass(frozen=True)
class Signals:
    """What an attacker knows of some examples.

    Attributes:
        values: Higher for members [n].
        classes: True classes [n].
    """

    values: Floats
    classes: Floats

    def __len__(self) -> int:
        return len(self.values)

    def of(self, one: float) -> Floats:
        """The values of the examples of a class."""
        found: Floats = self.values[self.classes == one]
        return found

    def draw(self, count: int, rng: np.random.Generator) -> Signals:
        """So many of them, without replacement."""
        chosen = rng.choice(len(self), count, replace=False)
        return Signals(self.values[chosen], self.classes[chosen])


@dataclass(frozen=True)
class ClassAttack:
    """A fitted attack: an example is called a member when its value >= its class's threshold.

    Attributes:
        thresholds: By class.
        others: Threshold of a class that was not there to be fitted on both sides.
    """

    thresholds: Mapping[float, float]
    others: float

    def members(self, asked: Signals) -> int:
        """Count the examples that the attack calls members."""
        bounds = np.array([self.thresholds.get(float(one), self.others) for one in asked.classes])
        return int(np.count_nonzero(asked.values >= bounds))


def fit_classes(members: Signals, nonmembers: Signals) -> ClassAttack:
    """Find each class's threshold of the best balanced accuracy, of equally good ones the lowest.

    Args:
        members: Finite values of examples that were trained on, at least one.
        nonmembers: Those of examples that were not, at least one.

    Returns:
        The attack.
    """
    both = np.intersect1d(members.classes, nonmembers.classes)
    thresholds = {float(one): best_threshold(members.of(one), nonmembers.of(one)) for one in both}
    return ClassAttack(thresholds, best_threshold(members.values, nonmembers.values))


def auc_within_classes(forget: Signals, test: Signals) -> Metric:
    """Measure how far the forget set stands out from the test examples of the same class.

    The bounds are put together from those of the classes by the method of variance estimates recovery: Zou
    and Donner, "Construction of confidence limits about effect measures: a general approach", Statistics in
    Medicine 27 (2008).

    Args:
        forget: Of the forget set.
        test: Of the test set.

    Returns:
        Of all pairs of a forget and a test example of one class, the fraction in which the forget example has
        the higher value, ties counting half; NaN where there is no such pair.
    """
    areas: list[Metric] = []
    pairs: list[int] = []
    for one in np.intersect1d(forget.classes, test.classes):
        of_forget, of_test = forget.of(one), test.of(one)
        areas.append(auc(of_forget, of_test))
        pairs.append(len(of_forget) * len(of_test))
    if not pairs:
        return not_computed(len(forget) + len(test))
    weights = [count / sum(pairs) for count in pairs]
    value = math.fsum(w * area.value for w, area in zip(weights, areas, strict=True))
    below = math.hypot(*(w * (area.value - area.low) for w, area in zip(weights, areas, strict=True)))
    above = math.hypot(*(w * (area.high - area.value) for w, area in zip(weights, areas, strict=True)))
    return Metric(value, value - below, value + above, sum(area.n for area in areas))


def membership_per_class(
    forget: Signals, remaining: Signals, test: Signals, *, name: str, seed: int = 0
) -> dict[str, Metric]:
    """Ask the attack, fitted on remaining against test examples, about the forget set.

    Args:
        forget: Of the forget set.
        remaining: Of the remaining set, or of a random part of it.
        test: Of the test set.
        name: Of the attack.
        seed: Of the draw of equal numbers of remaining and test examples: the examples of `membership`.

    Returns:
        `membership.<name>.member_fraction`: the fraction of the forget set called member;
        `membership.<name>.attack_accuracy`: of the attack on the examples that it was fitted on, and
        optimistic by that much; `membership.<name>.auc`: see `auc_within_classes`. NaN as in `membership`.
    """
    member, accuracy, area = not_computed(len(forget)), not_computed(0), not_computed(len(forget) + len(test))
    if _usable(remaining, test):
        rng = np.random.default_rng(seed)
        m = min(len(remaining), len(test))
        known, unknown = remaining.draw(m, rng), test.draw(m, rng)
        attack = fit_classes(known, unknown)
        right = attack.members(known) + m - attack.members(unknown)
        accuracy = intervals.proportion(right, 2 * m)
        if _usable(forget):
            member = intervals.proportion(attack.members(forget), len(forget))
    if _usable(forget, test):
        area = auc_within_classes(forget, test)
    return {
        f"membership.{name}.member_fraction": member,
        f"membership.{name}.attack_accuracy": accuracy,
        f"membership.{name}.auc": area,
    }


def per_class_attacks(
    forget: Outcomes, remaining: Outcomes, test: Outcomes, *, seed: int = 0
) -> dict[str, Metric]:
    """Run all attacks that need classes; none where the outcomes are not of classes.

    Args:
        forget: Outcomes on D_f.
        remaining: Outcomes on D_r, or on a random part of it.
        test: Outcomes on the test set.
        seed: Of the draw.

    Returns:
        Those of `membership_per_class`, attack by attack.
    """
    sets: Sequence[Outcomes] = (forget, remaining, test)
    if not all(outcomes.answers.keys() >= _MADE_OF for outcomes in sets):
        return {}
    metrics: dict[str, Metric] = {}
    for name, signal in SIGNALS.items():
        known = [Signals(signal(outcomes), outcomes.answers["labels"]) for outcomes in sets]
        metrics |= membership_per_class(*known, name=name, seed=seed)
    return metrics


def _usable(*sets: Signals) -> bool:
    return all(len(one) > 0 and bool(np.isfinite(one.values).all()) for one in sets)
