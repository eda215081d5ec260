import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import evaluation as oracle
from speu_cli.evaluation.language_membership import language_membership, privacy_leak
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.metrics import measure
from speu_cli.evaluation.table import table
from speu_cli.tasks.outcomes import Outcomes

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus")
counts = st.integers(1, 12)


def some(n: int, seed: int, *, shift: float = 0.0) -> Outcomes:
    """Outcomes of a language model; a shift makes all of it look better known."""
    draw = np.random.default_rng(seed)
    names = (*ATTACKS[1:], "probability", "token_accuracy", "exact_memorisation", "extraction_strength")
    answers = {name: draw.uniform(0, 1, n).round(1) + shift for name in names}
    losses = draw.uniform(0, 3, n).round(1) - shift
    return Outcomes(losses, np.exp(-losses), answers)


@given(counts, counts, st.integers(0, 99))
def test_every_attack_is_the_share_of_pairs_in_which_the_forget_example_looks_known(n, m, seed):
    forget, test = some(n, seed), some(m, seed + 1)
    metrics = language_membership(forget, test)
    assert list(metrics) == [f"membership.{name}.auc" for name in ATTACKS]
    for name in ATTACKS:
        sides = [-one.losses if name == "loss" else one.answers[name] for one in (forget, test)]
        metric = metrics[f"membership.{name}.auc"]
        assert metric.value == pytest.approx(oracle.area(*sides))
        assert 0 <= metric.low <= metric.value <= metric.high <= 1
        assert metric.n == n + m


def test_what_is_known_lies_above_a_half():
    known = language_membership(some(9, 0, shift=10), some(7, 1))
    unknown = language_membership(some(9, 0, shift=-10), some(7, 1))
    assert {metric.value for metric in known.values()} == {1}
    assert {metric.value for metric in unknown.values()} == {0}
    same = language_membership(some(9, 0), some(9, 0))
    assert {metric.value for metric in same.values()} == {0.5}


def test_other_tasks_have_no_such_attacks():
    other = Outcomes(np.ones(3), np.ones(3), {"predictions": np.ones(3), "labels": np.ones(3)})
    assert language_membership(other, other) == {}
    assert not any("min_k" in name for name in measure(other, other, other, score_name="accuracy"))
    both = measure(*[some(5, i) for i in range(3)], score_name="probability")
    assert {f"membership.{name}.auc" for name in ATTACKS} <= both.keys()
    for name in ("exact_memorisation", "extraction_strength"):
        assert f"{name}.forget" in both


def test_no_numbers_no_areas():
    broken = some(5, 0)
    broken.answers["min_k"][2] = math.nan
    metrics = language_membership(broken, some(5, 1))
    assert [name for name, metric in metrics.items() if math.isnan(metric.value)] == ["membership.min_k.auc"]


def of_area(value: float, low: float = 0.0, high: float = 1.0) -> dict[str, Metric]:
    return {"membership.min_k.auc": Metric(value, low, high, 10)}


@pytest.mark.parametrize(
    ("area", "reference", "expected"), [(0.5, 0.5, 0), (1, 0.5, -100), (0, 0.5, 100), (0.9, 0.6, -75)]
)
def test_privacy_leak_is_the_distance_of_areas(area, reference, expected):
    (leak,) = privacy_leak(of_area(area), of_area(reference)).values()
    published = ((1 - area) - (1 - reference)) / (1 - reference) * 100
    assert leak.value == pytest.approx(expected) == pytest.approx(published)


def test_the_interval_of_the_leak_is_that_of_the_area():
    (leak,) = privacy_leak(of_area(0.7, 0.6, 0.9), of_area(0.5)).values()
    assert (leak.low, leak.value, leak.high) == pytest.approx((-80, -40, -20))
    assert leak.n == 10


def test_there_is_no_leak_without_a_reference_that_can_be_compared():
    assert privacy_leak({}, of_area(0.5)) == {}
    for reference in ({}, of_area(1), of_area(math.nan)):
        assert math.isnan(privacy_leak(of_area(0.5), reference)["membership.privleak"].value)
    assert math.isnan(privacy_leak(of_area(math.nan), of_area(0.5))["membership.privleak"].value)


def test_the_leak_is_told_in_per_cent_and_p_values_in_digits():
    metrics = {
        "membership.privleak": Metric(-12.5, -40.0, 3.0, 9),
        "tofu.forget_quality": Metric(1.834e-21, math.nan, math.nan, 9),
        "tofu.forget.truth_ratio": Metric(0.5, 0.4, 0.6, 9),
    }
    cells = [row[1] for row in table(metrics).rows]
    assert cells == ["-12.500 [-40.000, 3.000]", "1.83e-21", "50.0 % [40.0, 60.0]"]
