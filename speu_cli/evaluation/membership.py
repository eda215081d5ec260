"""Confidence-based membership inference.

The attack knows one number per example, the confidence: the model's probability of the true class; for
regression minus the squared error, so that higher still means better known. It is fitted on examples of
known membership, as many remaining ones as test ones, and then asked about the forget set. This is the
threshold attack of Song and Mittal, "Systematic evaluation of privacy risks of machine learning models"
(USENIX Security 2021), with one threshold for all classes; `membership_per_class` has one for each.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from speu_cli.evaluation import intervals
from speu_cli.evaluation.metric import Metric, not_computed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Attack:
    """A fitted attack: an example is called a member when its confidence >= threshold.

    Attributes:
        threshold: The smallest confidence of a member.
        correct: How many of the examples that it was fitted on it gets right.
        n: Number of examples that it was fitted on, half of them members.
    """

    threshold: float
    correct: int
    n: int

    def members(self, confidences: Floats) -> int:
        """Count the examples that the attack calls members.

        Args:
            confidences: One number per example [n].

        Returns:
            The count.
        """
        return int(np.count_nonzero(confidences >= self.threshold))


def fit(members: Floats, nonmembers: Floats) -> Attack:
    """Find the threshold of the best balanced accuracy.

    Of equally good thresholds the lowest is taken, the one that calls most examples members. So an attack
    that tells nothing apart calls everything a member, and never makes forgetting look better than it is.

    Args:
        members: Finite confidences of examples that were trained on [m].
        nonmembers: Finite confidences of as many that were not [m], m at least 1.

    Returns:
        The attack.
    """
    m, threshold = len(members), best_threshold(members, nonmembers)
    right = np.count_nonzero(members >= threshold) + np.count_nonzero(nonmembers < threshold)
    return Attack(threshold, int(right), 2 * m)


def best_threshold(members: Floats, nonmembers: Floats) -> float:
    """Find the threshold of the highest true less false positive rate, of equally good ones the lowest.

    Args:
        members: Finite values [m], m at least 1.
        nonmembers: Finite values [n], n at least 1.

    Returns:
        The lowest value that is called a member's.
    """
    m, n = len(members), len(nonmembers)
    truth = np.concatenate([np.ones(m), np.zeros(n)])
    false_rate, true_rate, thresholds = roc_curve(truth, np.concatenate([members, nonmembers]))
    # Whole counts, so that equally good thresholds compare equal.
    advantage = np.rint(true_rate * m) * n - np.rint(false_rate * n) * m
    return float(thresholds[np.flatnonzero(advantage == advantage.max())[-1]])  # thresholds descend


def sample_and_fit(remaining: Floats, test: Floats, *, seed: int) -> Attack:
    """Fit the attack on equal numbers of remaining and test examples, drawn without replacement.

    Args:
        remaining: Finite confidences of the remaining set, at least one.
        test: Finite confidences of the test set, at least one.
        seed: Of the draw: the same seed and sets give the same attack.

    Returns:
        The attack.
    """
    rng = np.random.default_rng(seed)
    m = min(len(remaining), len(test))
    return fit(rng.choice(remaining, m, replace=False), rng.choice(test, m, replace=False))


def auc(forget: Floats, test: Floats) -> Metric:
    """Measure how far the forget set stands out from the test set, at every threshold at once.

    Args:
        forget: Confidences of the forget set.
        test: Confidences of the test set.

    Returns:
        The chance that a random forget example is more confident than a random test example, ties
        counting half: 0.5 when the two cannot be told apart, above it when the forget set still looks
        known, below it when it looks less known than unseen examples do.
    """
    if not _usable(forget, test):
        return not_computed(len(forget) + len(test))
    truth = np.concatenate([np.ones(len(forget)), np.zeros(len(test))])
    value = float(roc_auc_score(truth, np.concatenate([forget, test])))
    return intervals.area(value, len(forget), len(test))


def membership(forget: Floats, remaining: Floats, test: Floats, *, seed: int = 0) -> dict[str, Metric]:
    """Ask the attack, fitted on remaining against test examples, about the forget set.

    The intervals of the two fractions hold the fitted threshold fixed. The accuracy is measured on the
    examples that the threshold was fitted on, and is optimistic by that much.

    Args:
        forget: Confidences of the forget set.
        remaining: Confidences of the remaining set, or of a random part of it.
        test: Confidences of the test set.
        seed: Of the draw of equal numbers of remaining and test examples.

    Returns:
        `membership.member_fraction`: the fraction of the forget set called member (the "MIA" of the
        sparse-unlearning papers where lower means better forgotten);
        `membership.nonmember_fraction`: its complement (the "MIA-Efficacy" of Unlearn-Sparse);
        `membership.attack_accuracy`: balanced accuracy of the attack on remaining against test examples;
        `membership.auc`: see `auc`. Each is NaN when a confidence it rests on is missing or not finite.
    """
    member, nonmember, accuracy = (not_computed(len(forget)), not_computed(len(forget)), not_computed(0))
    if _usable(remaining, test):
        attack = sample_and_fit(remaining, test, seed=seed)
        accuracy = intervals.proportion(attack.correct, attack.n)
        if _usable(forget):
            count = attack.members(forget)
            member = intervals.proportion(count, len(forget))
            nonmember = intervals.proportion(len(forget) - count, len(forget))
    return {
        "membership.member_fraction": member,
        "membership.nonmember_fraction": nonmember,
        "membership.attack_accuracy": accuracy,
        "membership.auc": auc(forget, test),
    }


def _usable(*sets: Floats) -> bool:
    return all(len(one) > 0 and math.isfinite(one.min()) and math.isfinite(one.max()) for one in sets)
