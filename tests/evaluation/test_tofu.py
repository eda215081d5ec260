import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import language as oracle
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.tofu import truth_ratio
from speu_cli.evaluation.tofu.measure import SETS, Perturbed, measure_set, measure_tofu
from speu_cli.evaluation.tofu.probability import probability, probability_among
from speu_cli.evaluation.tofu.quality import forget_quality
from speu_cli.evaluation.tofu.utility import model_utility

loss = st.floats(0.001, 8)
question = st.tuples(loss, loss, st.lists(loss, min_size=1, max_size=5), st.floats(0.01, 1))
questions = st.lists(question, min_size=2, max_size=9)


def perturbed(rows):
    own, right, wrong, recalls = zip(*rows, strict=True)
    return Perturbed(np.array(own), np.array(right), [np.array(one) for one in wrong], np.array(recalls))


@given(questions)
def test_each_measure_is_that_of_a_loop(rows):
    found = perturbed(rows)
    assert probability(found.losses) == pytest.approx([math.exp(-own) for own, *_ in rows])
    among = [math.exp(-own) / sum(math.exp(-x) for x in [own, *wrong]) for own, _, wrong, _ in rows]
    assert probability_among(found.losses, found.wrong) == pytest.approx(among)
    ratios = [oracle.geometric_ratio(right, wrong) for _, right, wrong, _ in rows]
    assert np.exp(found.log_ratios) == pytest.approx(ratios)
    arithmetic = [oracle.arithmetic_ratio(right, wrong) for _, right, wrong, _ in rows]
    logs = truth_ratio.arithmetic_log_ratios(found.right, found.wrong)
    assert np.exp(logs) == pytest.approx(arithmetic)
    assert truth_ratio.of_known(logs) == pytest.approx([max(0, 1 - r) for r in arithmetic], abs=1e-12)
    assert truth_ratio.of_forgotten(logs) == pytest.approx([min(r, 1 / r) for r in arithmetic])


@given(questions)
def test_a_set_is_told_by_means(rows):
    ratios = [oracle.geometric_ratio(right, wrong) for _, right, wrong, _ in rows]
    n = len(rows)
    for name in SETS:
        metrics = measure_set(name, perturbed(rows))
        folded = [min(r, 1 / r) if name == "forget" else max(0, 1 - r) for r in ratios]
        assert metrics[f"tofu.{name}.truth_ratio"].value == pytest.approx(sum(folded) / n, abs=1e-12)
        assert metrics[f"tofu.{name}.rouge_l"].value == pytest.approx(sum(row[3] for row in rows) / n)
        likely = [
            math.exp(-own) / (sum(math.exp(-x) for x in [own, *wrong]) if name in {"authors", "facts"} else 1)
            for own, _, wrong, _ in rows
        ]
        assert metrics[f"tofu.{name}.probability"].value == pytest.approx(sum(likely) / n)
        assert all(metric.n == n and 0 <= metric.low <= metric.high <= 1 for metric in metrics.values())


def test_the_two_truth_ratios_differ():
    right, wrong = np.array([1.0]), [np.array([0.5, 3.0])]
    geometric = truth_ratio.log_ratios(right, wrong)
    assert geometric.tolist() == [1 - 1.75]
    assert truth_ratio.arithmetic_log_ratios(right, wrong)[0] > geometric[0] + 0.4
    equal = [np.array([2.0, 2.0])]
    assert truth_ratio.arithmetic_log_ratios(right, equal) == pytest.approx([-1])


def test_losses_too_large_for_a_probability_still_have_ratios():
    """exp(−2000) is 0 in float64; 0/0 would be no number."""
    found = perturbed([(2000.0, 2000.0, [2001.0, 2001.0], 0.0), (2000.0, 9000.0, [2000.0], 0.0)])
    assert probability_among(found.losses, found.wrong) == pytest.approx([1 / (1 + 2 / math.e), 0.5])
    known = truth_ratio.of_known(found.log_ratios)
    assert known.tolist() == pytest.approx([1 - 1 / math.e, 0])
    assert truth_ratio.of_forgotten(found.log_ratios).tolist() == pytest.approx([1 / math.e, 0])


@settings(deadline=None)
@given(st.lists(st.integers(0, 999), min_size=6, max_size=9, unique=True), st.integers(2, 4))
def test_forget_quality_is_the_share_of_deals_that_are_as_far_apart(values, first):
    a, b = np.array(values[:first]) / 7, np.array(values[first:]) / 7
    quality, distance = forget_quality(a, b)
    assert distance.value == pytest.approx(oracle.distance(a, b))
    assert quality.value == pytest.approx(oracle.p_value(list(a), list(b)))
    assert quality.n == len(values)
    turned, _ = forget_quality(-a, -b)  # of 1/R
    assert turned.value == pytest.approx(quality.value)


def test_a_model_is_like_itself_and_nothing_is_like_no_number():
    logs = np.linspace(-1, 1, 20)
    quality, distance = forget_quality(logs, logs)
    assert (quality.value, distance.value) == (1, 0)
    far, _ = forget_quality(logs, logs + 10)
    assert 0 < far.value < 1e-9
    for other in (np.array([]), np.array([0.0, math.nan])):
        assert all(math.isnan(one.value) for one in forget_quality(logs, other))


@given(st.lists(st.floats(0.01, 1), min_size=9, max_size=9))
def test_utility_is_the_harmonic_mean(values):
    parts = [Metric(value, math.nan, math.nan, 5) for value in values]
    found = model_utility(parts)
    assert found.value == pytest.approx(oracle.harmonic_mean(values))
    assert found.n == 45
    zero = [Metric(0.0, 0.0, 0.0, 5), *parts[1:]]
    assert model_utility(zero).value == 0
    assert math.isnan(model_utility([Metric(math.nan, 0.0, 0.0, 5), *parts[1:]]).value)


ROWS = [(0.5, 0.4, [1.0, 2.0], 0.5), (1.5, 1.4, [1.0, 0.5, 2.0], 0.25)]


def test_all_sets_give_utility_and_a_reference_gives_quality():
    found = {name: perturbed(ROWS) for name in SETS}
    metrics = measure_tofu(found, found)
    nine = [
        metrics[f"tofu.{name}.{part}"].value
        for name in ("retain", "authors", "facts")
        for part in ("probability", "rouge_l", "truth_ratio")
    ]
    assert metrics["tofu.model_utility"].value == pytest.approx(oracle.harmonic_mean(nine))
    assert metrics["tofu.forget_quality"].value == 1
    assert metrics["tofu.forget_distance"].value == 0


def test_what_a_set_is_missing_for_is_not_computed():
    assert measure_tofu({}) == {}
    metrics = measure_tofu({"forget": perturbed(ROWS)})
    lost = {name for name, metric in metrics.items() if math.isnan(metric.value)}
    assert lost == {"tofu.model_utility", "tofu.forget_quality", "tofu.forget_distance"}
    assert not any(name.startswith("tofu.retain") for name in metrics)
    assert "tofu.forget_quality" not in measure_tofu({"retain": perturbed(ROWS)})


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_broken_model_has_no_measures(place):
    row = list(ROWS[0])
    row[place] = [math.nan, 1.0] if place == 2 else math.inf
    metrics = measure_tofu({name: perturbed([tuple(row), ROWS[1]]) for name in SETS})
    assert all(math.isnan(metric.value) for metric in metrics.values())
