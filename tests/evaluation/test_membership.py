import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import evaluation as oracle
from speu_cli.evaluation.membership import auc, fit, membership, sample_and_fit

# Few distinct confidences, so that ties are the rule; a coarse grid keeps them exact.
confidence = st.integers(0, 8).map(lambda i: i / 8)
equal_numbers = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*(st.lists(confidence, min_size=n, max_size=n) for _ in range(2)))
)
some = st.lists(confidence, min_size=1, max_size=20).map(np.array)


@given(equal_numbers)
def test_the_threshold_is_the_best_of_all_thresholds(sets):
    members, nonmembers = sets
    attack = fit(np.array(members), np.array(nonmembers))
    threshold, accuracy = oracle.best_threshold(members, nonmembers)
    assert attack.threshold == threshold
    assert attack.correct / attack.n == pytest.approx(accuracy)
    assert attack.n == 2 * len(members)


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_threshold_is_the_best_for_confidences_without_ties(n, seed):
    rng = np.random.default_rng(seed)
    members, nonmembers = rng.beta(5, 1, n), rng.beta(2, 1, n)
    attack = fit(members, nonmembers)
    assert (attack.threshold, attack.correct / attack.n) == oracle.best_threshold(members, nonmembers)


@given(some, some)
def test_the_area_is_the_fraction_of_pairs(forget, test):
    assert auc(forget, test).value == pytest.approx(oracle.area(forget, test))


@given(some, some, some, st.integers(0, 100))
def test_the_two_conventions_are_complements(forget, remaining, test, seed):
    metrics = membership(forget, remaining, test, seed=seed)
    member, nonmember = metrics["membership.member_fraction"], metrics["membership.nonmember_fraction"]
    assert member.value + nonmember.value == pytest.approx(1)
    assert member.low + nonmember.high == pytest.approx(1)
    assert member.n == nonmember.n == len(forget)
    assert metrics["membership.attack_accuracy"].n == 2 * min(len(remaining), len(test))
    assert metrics["membership.attack_accuracy"].value >= 0.5
    assert metrics["membership.auc"].n == len(forget) + len(test)


def test_perfect_separation():
    forget = np.array([0.95, 0.8, 0.1, 0.79])
    remaining, test = np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.2, 0.3])
    metrics = membership(forget, remaining, test)
    assert metrics["membership.member_fraction"].value == 0.5  # 0.8 is the threshold, and counts
    assert metrics["membership.attack_accuracy"].value == 1


def test_an_attack_that_tells_nothing_apart_calls_everything_a_member():
    same = np.full(6, 0.7)
    metrics = membership(same, same, same)
    assert metrics["membership.member_fraction"].value == 1
    assert metrics["membership.attack_accuracy"].value == 0.5
    assert metrics["membership.auc"].value == 0.5


def test_test_examples_more_confident_than_remaining_ones_make_an_attack_that_tells_nothing():
    metrics = membership(np.array([0.3]), np.array([0.4, 0.5]), np.array([0.8, 0.9]))
    assert metrics["membership.attack_accuracy"].value == 0.5


def test_one_example_each():
    metrics = membership(np.array([0.9]), np.array([0.8]), np.array([0.2]))
    assert {name: metric.value for name, metric in metrics.items()} == {
        "membership.member_fraction": 1,
        "membership.nonmember_fraction": 0,
        "membership.attack_accuracy": 1,
        "membership.auc": 1,
    }


def test_the_draw_is_of_equal_numbers_without_replacement_and_by_the_seed():
    remaining, test = np.linspace(0.5, 1, 500), np.linspace(0, 0.99, 40)
    attack = sample_and_fit(remaining, test, seed=3)
    assert attack.n == 80
    assert attack == sample_and_fit(remaining, test, seed=3)
    assert len({sample_and_fit(remaining, test, seed=seed).threshold for seed in range(10)}) > 1
    # The smaller set is taken whole, so with equal sizes there is nothing to draw.
    assert sample_and_fit(remaining[:40], test, seed=1) == sample_and_fit(remaining[:40], test, seed=2)


def test_the_draw_reaches_past_the_first_examples():
    """Unlearn-Sparse takes the first examples of the remaining set; here any may be drawn."""
    remaining = np.concatenate([np.full(50, 0.1), np.full(450, 0.9)])
    attack = sample_and_fit(remaining, np.full(50, 0.1), seed=0)
    assert attack.threshold == 0.9


bad = [np.array([]), np.array([0.5, math.nan]), np.array([math.inf]), np.array([-math.inf, 0.1])]


@pytest.mark.parametrize("confidences", bad)
@pytest.mark.parametrize(
    ("place", "lost"),
    [
        (0, {"member_fraction", "nonmember_fraction", "auc"}),
        (1, {"member_fraction", "nonmember_fraction", "attack_accuracy"}),
        (2, {"member_fraction", "nonmember_fraction", "attack_accuracy", "auc"}),
    ],
)
def test_confidences_that_are_missing_or_not_finite_give_nan(confidences, place, lost):
    sets = [np.array([0.2, 0.8])] * 3
    sets[place] = confidences
    metrics = membership(*sets)
    assert {name for name, metric in metrics.items() if math.isnan(metric.value)} == {
        f"membership.{name}" for name in lost
    }
