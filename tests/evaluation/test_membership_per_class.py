"""The attacks of Song and Mittal with a threshold for each class, against loops and SciPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from oracles import evaluation as oracle
from speu_cli.evaluation.membership import auc, membership, sample_and_fit
from speu_cli.evaluation.membership_per_class import (
    Signals,
    auc_within_classes,
    fit_classes,
    membership_per_class,
    per_class_attacks,
)
from speu_cli.tasks.classes import entropy, modified_entropy
from speu_cli.tasks.outcomes import Outcomes

NAMES = ("member_fraction", "attack_accuracy", "auc")


def signals(n: int, seed: int, classes: int = 3) -> Signals:
    """Values on a coarse grid, so that ties are the rule."""
    rng = np.random.default_rng(seed)
    return Signals(rng.integers(0, 9, n) / 8, rng.integers(0, classes, n).astype(float))


def pairs(of: Signals) -> list[tuple[float, float]]:
    return list(zip(of.values.tolist(), of.classes.tolist(), strict=True))


def classified(n: int, seed: int, classes: int = 4, *, only: int | None = None) -> Outcomes:
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(scale=3, size=(n, classes))).log_softmax(-1)
    labels = torch.tensor(rng.integers(0, classes, n) if only is None else np.full(n, only))
    true = logits.gather(1, labels[:, None])[:, 0]
    answers = {
        "predictions": logits.argmax(-1).double().numpy(),
        "labels": labels.double().numpy(),
        "entropy": entropy(logits).numpy(),
        "modified_entropy": modified_entropy(logits, labels).numpy(),
    }
    return Outcomes(-true.numpy(), true.exp().numpy(), answers)


@given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 12), st.integers(0, 10**6))
def test_every_class_has_the_best_of_all_thresholds(m, n, asked, seed):
    members, nonmembers, forget = signals(m, seed), signals(n, seed + 1), signals(asked, seed + 2, classes=4)
    expected = sum(oracle.class_attack(pairs(members), pairs(nonmembers), pairs(forget)))
    assert fit_classes(members, nonmembers).members(forget) == expected


@given(st.integers(1, 25), st.integers(1, 25), st.integers(0, 10**6))
def test_the_area_is_that_of_the_pairs_of_one_class(m, n, seed):
    forget, test = signals(m, seed), signals(n, seed + 1)
    found = auc_within_classes(forget, test)
    if not set(forget.classes) & set(test.classes):
        assert math.isnan(found.value)
        return
    assert found.value == pytest.approx(oracle.area_within_classes(pairs(forget), pairs(test)))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_with_one_class_it_is_the_attack_with_one_threshold(n_forget, n_remaining, n_test, seed):
    sets = [signals(n, seed + i, classes=1) for i, n in enumerate((n_forget, n_remaining, n_test))]
    found = membership_per_class(*sets, name="x", seed=seed)
    alone = membership(*(one.values for one in sets), seed=seed)
    for name in NAMES:
        assert found[f"membership.x.{name}"].value == pytest.approx(alone[f"membership.{name}"].value)
    area = auc(sets[0].values, sets[2].values)
    whole = found["membership.x.auc"]
    assert (whole.low, whole.high) == pytest.approx((area.low, area.high))


def test_both_attacks_are_fitted_on_the_same_examples():
    remaining, test = signals(500, 1, classes=1), signals(40, 2, classes=1)
    attack = sample_and_fit(remaining.values, test.values, seed=3)
    rng = np.random.default_rng(3)
    assert fit_classes(remaining.draw(40, rng), test.draw(40, rng)).thresholds == {0.0: attack.threshold}


def test_classes_of_their_own_confidence_are_told_apart_by_thresholds_of_their_own():
    """In class 0 members have 0.5 and others 0.3, in class 1 members 0.9 and others 0.7."""
    classes = np.repeat([0.0, 1.0], 10)
    members, others = (Signals(np.repeat(values, 10), classes) for values in ([0.5, 0.9], [0.3, 0.7]))
    found = membership_per_class(members, members, others, name="x")
    assert [found[f"membership.x.{name}"].value for name in NAMES] == [1, 1, 1]
    assert membership(members.values, members.values, others.values)["membership.attack_accuracy"].value < 0.8


@given(st.integers(2, 6), st.integers(0, 10**6))
def test_entropies_are_those_of_scipy_and_of_the_paper(classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(7, classes))
    labels = rng.integers(0, classes, 7)
    p = special.softmax(logits, axis=1)
    of_classes = torch.tensor(logits).log_softmax(-1)
    np.testing.assert_allclose(entropy(of_classes), stats.entropy(p, axis=1), atol=1e-12)
    expected = [oracle.modified_entropy(row, y) for row, y in zip(p.tolist(), labels, strict=True)]
    np.testing.assert_allclose(modified_entropy(of_classes, torch.tensor(labels)), expected, rtol=1e-9)


def test_modified_entropy_of_a_sure_model_is_exact_and_finite():
    """p_y rounds to 1, or is far below the smallest float64 beside 1."""
    sure = torch.tensor([[800.0, 0.0], [40.0, 0.0]], dtype=torch.float64).log_softmax(-1)
    right, wrong = (modified_entropy(sure, torch.tensor([y, y])) for y in (0, 1))
    assert right.tolist() == pytest.approx([0.0, 2 * math.exp(-40) * math.exp(-40)], abs=1e-30)
    assert wrong.tolist() == pytest.approx([1600.0, 80.0])


def test_modified_entropy_knows_right_from_wrong_where_entropy_does_not():
    of_classes = torch.tensor([[0.9, 0.1], [0.9, 0.1]], dtype=torch.float64).log()
    labels = torch.tensor([0, 1])
    assert entropy(of_classes)[0] == entropy(of_classes)[1]
    assert modified_entropy(of_classes, labels)[0] < modified_entropy(of_classes, labels)[1]


def test_three_attacks_beside_that_of_the_paper():
    sets = [classified(n, n) for n in (20, 80, 50)]
    metrics = per_class_attacks(*sets)
    attacks = ("confidence_per_class", "entropy", "modified_entropy")
    assert list(metrics) == [f"membership.{attack}.{name}" for attack in attacks for name in NAMES]
    expected = oracle.area_within_classes(
        list(zip(-sets[0].answers["entropy"], sets[0].answers["labels"], strict=True)),
        list(zip(-sets[2].answers["entropy"], sets[2].answers["labels"], strict=True)),
    )
    assert metrics["membership.entropy.auc"].value == pytest.approx(expected)


def test_a_test_set_of_one_class_leaves_the_others_the_common_threshold():
    metrics = per_class_attacks(classified(20, 1), classified(80, 2), classified(50, 3, only=0))
    assert all(math.isfinite(metric.value) for metric in metrics.values())
    none = per_class_attacks(classified(20, 1, only=1), classified(80, 2), classified(50, 3, only=0))
    assert {name for name, metric in none.items() if math.isnan(metric.value)} == {
        f"membership.{attack}.auc" for attack in ("confidence_per_class", "entropy", "modified_entropy")
    }


def test_what_has_no_classes_has_no_such_attacks():
    plain = Outcomes(np.ones(3), np.ones(3), {"predictions": np.ones(3), "labels": np.ones(3)})
    assert per_class_attacks(plain, plain, plain) == {}


@pytest.mark.parametrize("place", range(3))
def test_values_that_are_not_finite_give_nan(place):
    sets = [signals(6, seed, classes=1) for seed in range(3)]
    sets[place] = Signals(np.full(6, math.nan), sets[place].classes)
    found = membership_per_class(*sets, name="x")
    lost = {name for name in NAMES if math.isnan(found[f"membership.x.{name}"].value)}
    assert lost == [{"member_fraction", "auc"}, {"member_fraction", "attack_accuracy"}, set(NAMES)][place]
