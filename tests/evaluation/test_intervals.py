import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from oracles import evaluation as oracle
from speu_cli.evaluation import intervals

finite = st.floats(-1e6, 1e6)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_printed_formula(case):
    count, n = case
    metric = intervals.proportion(count, n)
    assert metric.value == count / n
    assert (metric.low, metric.high) == pytest.approx(oracle.wilson(count, n), abs=1e-12)
    assert 0 <= metric.low <= metric.value <= metric.high <= 1
    assert metric.n == n


def test_the_proportion_of_nothing_is_not_computed():
    metric = intervals.proportion(0, 0)
    assert math.isnan(metric.value)
    assert math.isnan(metric.low)
    assert math.isnan(metric.high)
    assert metric.n == 0


def test_a_wilson_interval_does_not_collapse_at_certainty():
    assert intervals.proportion(20, 20).low == pytest.approx(0.8389, abs=1e-4)


@given(st.lists(finite, min_size=2, max_size=30))
def test_the_mean_has_the_t_interval(values):
    metric = intervals.mean(np.array(values))
    centre = sum(values) / len(values)
    variance = sum((x - centre) ** 2 for x in values) / (len(values) - 1)
    half = stats.t.ppf(0.975, len(values) - 1) * math.sqrt(variance / len(values))
    assert metric.value == pytest.approx(centre, abs=1e-6)
    assert metric.high - metric.value == pytest.approx(half, rel=1e-6, abs=1e-6)
    assert metric.value - metric.low == pytest.approx(half, rel=1e-6, abs=1e-6)


def test_equal_losses_have_an_interval_of_no_width():
    metric = intervals.mean(np.full(5, 0.25))
    assert (metric.low, metric.value, metric.high) == (0.25, 0.25, 0.25)


def test_one_loss_has_no_interval():
    metric = intervals.mean(np.array([0.5]))
    assert metric.value == 0.5
    assert math.isnan(metric.low)
    assert math.isnan(metric.high)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf], [1e308, 1e308]])
def test_a_mean_that_is_not_finite_is_not_computed(values):
    metric = intervals.mean(np.array(values, dtype=float))
    assert math.isnan(metric.value)
    assert metric.n == len(values)


# Few distinct values, so that ties are the rule.
ranked = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=25)


@given(ranked)
def test_spearman_is_the_correlation_of_midranks(pairs):
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    metric = intervals.spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(metric.value)
    else:
        assert metric.value == pytest.approx(oracle.spearman(a, b), abs=1e-12)
    if len(pairs) <= 3 or math.isnan(metric.value):
        assert math.isnan(metric.low)
        assert math.isnan(metric.high)
    else:
        assert -1 <= metric.low <= metric.value <= metric.high <= 1


def test_the_spearman_interval_is_bonett_and_wright():
    a = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    b = np.array([2.0, 1, 4, 3, 7, 5, 6, 10, 8, 9])
    r = oracle.spearman(a, b)
    error = math.sqrt((1 + r**2 / 2) / 7)
    metric = intervals.spearman(a, b)
    assert metric.low == pytest.approx(math.tanh(math.atanh(r) - oracle.Z * error))
    assert metric.high == pytest.approx(math.tanh(math.atanh(r) + oracle.Z * error))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_rank_correlation_is_its_own_interval(sign):
    a = np.arange(7.0)
    metric = intervals.spearman(a, sign * a**3)
    assert (metric.low, metric.value, metric.high) == (sign, sign, sign)


@pytest.mark.parametrize("n", [0, 1])
def test_a_rank_correlation_needs_two_examples(n):
    assert math.isnan(intervals.spearman(np.arange(float(n)), np.arange(float(n))).value)


@example(36, 46, 0.99999)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1))
def test_area_bounds_are_where_the_score_test_turns(positives, negatives, value):
    metric = intervals.area(value, positives, negatives)
    assert 0 <= metric.low <= value <= metric.high <= 1
    for bound in (metric.low, metric.high):
        if 0 < bound < 1 and abs(bound - value) > 1e-6:
            error = math.sqrt(oracle.area_variance(bound, positives, negatives))
            assert abs(value - bound) / error == pytest.approx(oracle.Z, rel=1e-4)


@pytest.mark.parametrize(("value", "open_end"), [(1.0, "low"), (0.0, "high")])
@pytest.mark.parametrize("n", [1, 8, 100_000])
def test_perfect_separation_still_leaves_doubt(value, open_end, n):
    metric = intervals.area(value, n, n)
    assert value in {metric.low, metric.high}
    assert 0 < getattr(metric, open_end) < 1


@example(36, 46, 0.99999)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1))
def test_area_bounds_mirror(positives, negatives, value):
    one, other = intervals.area(value, positives, negatives), intervals.area(1 - value, negatives, positives)
    assert one.low == pytest.approx(1 - other.high, abs=1e-6)


def test_the_area_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    positives, negatives, rounds = 40, 60, 600
    truth = stats.norm.cdf(1 / math.sqrt(2))  # of N(1, 1) above N(0, 1)
    hits = 0
    for _ in range(rounds):
        above = rng.normal(1, 1, (positives, 1)) > rng.normal(0, 1, (1, negatives))
        metric = intervals.area(float(above.mean()), positives, negatives)
        hits += metric.low <= truth <= metric.high
    assert 0.92 <= hits / rounds <= 0.98
