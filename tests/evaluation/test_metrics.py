import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import evaluation as oracle
from speu_cli.evaluation.metric import as_number
from speu_cli.evaluation.metrics import measure
from speu_cli.evaluation.scores import SCORES
from speu_cli.tasks.outcomes import Outcomes


def some_outcomes(n: int, seed: int, classes: int = 3) -> Outcomes:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes))
    labels = rng.integers(0, classes, n)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = probabilities[np.arange(n), labels]
    answers = {"predictions": logits.argmax(axis=1).astype(float), "labels": labels.astype(float)}
    return Outcomes(-np.log(true), true, answers)


def some_regression(n: int, seed: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    labels = rng.uniform(0, 5, n)
    predictions = labels + rng.normal(size=n)
    answers = {"predictions": predictions, "labels": labels}
    return Outcomes((predictions - labels) ** 2, -((predictions - labels) ** 2), answers)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_classification(n_forget, n_remaining, n_test, seed):
    sets = [some_outcomes(n, seed + i) for i, n in enumerate((n_forget, n_remaining, n_test))]
    metrics = measure(*sets, score_name="accuracy", seed=seed)
    assert list(metrics) == [
        "unlearning_accuracy",
        "remaining_accuracy",
        "testing_accuracy",
        "class_shift.forget",
        "class_shift.remaining",
        "class_shift.test",
        "loss.forget",
        "loss.remaining",
        "loss.test",
        "membership.member_fraction",
        "membership.nonmember_fraction",
        "membership.attack_accuracy",
        "membership.auc",
    ]
    for where, place, outcomes in zip(
        ("unlearning", "remaining", "testing"), ("forget", "remaining", "test"), sets, strict=True
    ):
        predictions, labels = outcomes.answers["predictions"], outcomes.answers["labels"]
        right = sum(p == y for p, y in zip(predictions, labels, strict=True))
        score, loss = metrics[f"{where}_accuracy"], metrics[f"loss.{place}"]
        assert score.value == right / len(labels)
        assert (score.low, score.high) == pytest.approx(oracle.wilson(right, len(labels)))
        assert loss.value == pytest.approx(sum(outcomes.losses) / len(outcomes.losses))
    assert metrics["membership.auc"].value == pytest.approx(
        oracle.area(sets[0].confidences, sets[2].confidences)
    )


def test_regression_is_scored_by_rank_correlation():
    sets = [some_regression(n, n) for n in (12, 40, 25)]
    metrics = measure(*sets, score_name="spearman")
    for where, outcomes in zip(("unlearning", "remaining", "testing"), sets, strict=True):
        assert metrics[f"{where}_spearman"].value == pytest.approx(
            oracle.spearman(outcomes.answers["predictions"], outcomes.answers["labels"])
        )
    assert not any(name.endswith("_accuracy") and "attack" not in name for name in metrics)


def test_the_membership_draw_follows_the_seed():
    sets = [some_outcomes(40, 1), some_outcomes(2000, 2), some_outcomes(50, 3)]

    def members(seed):
        return measure(*sets, score_name="accuracy", seed=seed)["membership.member_fraction"]

    assert members(5) == members(5)
    assert len({members(seed).value for seed in range(8)}) > 1


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="accuracy, spearman"):
        measure(*[some_outcomes(3, 0)] * 3, score_name="rouge")


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_model_that_answers_nan_has_no_scores(poison):
    whole = some_outcomes(20, 0)
    broken = Outcomes(np.full(20, poison), np.full(20, math.nan), whole.answers)
    metrics = measure(whole, whole, broken, score_name="accuracy")
    lost = {name for name, metric in metrics.items() if math.isnan(metric.value)}
    assert lost == {
        "testing_accuracy",
        "class_shift.test",
        "loss.test",
        "membership.member_fraction",
        "membership.nonmember_fraction",
        "membership.attack_accuracy",
        "membership.auc",
    }


def test_empty_sets_give_nan_and_no_crash():
    nothing = Outcomes(np.array([]), np.array([]), {})
    for score_name in ("accuracy", "spearman", "f1", "probability"):
        metrics = measure(nothing, nothing, nothing, score_name=score_name)
        assert all(math.isnan(metric.value) and metric.n == 0 for metric in metrics.values())


def test_numbers_for_strict_json():
    numbers = [as_number(x) for x in (0.5, math.nan, math.inf, -math.inf, np.float64(2))]
    assert json.dumps(numbers, allow_nan=False) == "[0.5, null, null, null, 2.0]"


def test_values_are_plain_python_numbers():
    metrics = measure(*[some_outcomes(9, i) for i in range(3)], score_name="accuracy")
    for metric in metrics.values():
        assert {type(metric.value), type(metric.low), type(metric.high)} == {float}
        assert type(metric.n) is int


def test_accuracy_has_the_shift_of_the_classes_beside_it():
    sets = [some_outcomes(n, n) for n in (9, 40, 25)]
    metrics = measure(*sets, score_name="accuracy")
    for place, outcomes in zip(("forget", "remaining", "test"), sets, strict=True):
        found, answers = metrics[f"class_shift.{place}"], outcomes.answers
        expected = oracle.class_shift(answers["predictions"], answers["labels"])
        assert (found.value, found.n) == (pytest.approx(expected), len(outcomes))
        assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize(
    ("predictions", "shift"), [([0, 1, 2, 0], 0), ([0, 0, 0, 0], 0.5), ([3, 3, 3, 3], 1), ([0, 2, 1, 0], 0)]
)
def test_the_shift_counts_how_often_a_class_is_predicted_not_where(predictions, shift):
    answers = {"predictions": np.array(predictions, float), "labels": np.array([0.0, 1, 2, 0])}
    assert SCORES["class_shift"].of(answers).value == shift


def test_pearson_stands_beside_spearman():
    sets = [some_regression(n, n) for n in (12, 40, 25)]
    metrics = measure(*sets, score_name="spearman")
    for place, outcomes in zip(("forget", "remaining", "test"), sets, strict=True):
        found = metrics[f"pearson.{place}"]
        x, y = outcomes.answers["predictions"], outcomes.answers["labels"]
        assert found.value == pytest.approx(oracle.pearson(x, y))
        z, half = math.atanh(found.value), 1.959963984540054 / math.sqrt(len(x) - 3)
        assert (found.low, found.high) == pytest.approx((math.tanh(z - half), math.tanh(z + half)))


def some_answers(n: int, seed: int, *, lacking: bool) -> Outcomes:
    rng = np.random.default_rng(seed)
    answers = {"f1": rng.uniform(0, 1, n), "exact": rng.integers(0, 2, n).astype(float)}
    if lacking:
        answerable = rng.integers(0, 2, n).astype(float)
        answers |= {
            "span_f1": rng.uniform(0, 1, n) * answerable,
            "span_exact": rng.integers(0, 2, n) * answerable,
            "margin": rng.normal(size=n).round(1),  # some are equal
            "answerable": answerable,
        }
    return Outcomes(rng.uniform(0, 1, n), rng.uniform(0, 1, n), answers)


def test_f1_has_exact_match_beside_it():
    sets = [some_answers(n, n, lacking=False) for n in (12, 40, 25)]
    metrics = measure(*sets, score_name="f1")
    assert list(metrics)[3:6] == ["exact.forget", "exact.remaining", "exact.test"]
    assert not any(name.startswith(("best", "threshold")) for name in metrics)
    for place, outcomes in zip(("forget", "remaining", "test"), sets, strict=True):
        right = int(sum(outcomes.answers["exact"]))
        found = metrics[f"exact.{place}"]
        assert found.value == right / len(outcomes)
        assert (found.low, found.high) == pytest.approx(oracle.wilson(right, len(outcomes)))
    assert metrics["testing_f1"].value == pytest.approx(sum(sets[2].answers["f1"]) / 25)


@given(st.integers(1, 40), st.integers(0, 1000))
def test_the_best_threshold_is_that_of_the_script_for_squad(n, seed):
    outcomes = some_answers(n, seed, lacking=True)
    metrics = measure(outcomes, outcomes, outcomes, score_name="f1")
    for score in ("f1", "exact"):
        value, threshold = oracle.best_no_answer_threshold(
            outcomes.answers[f"span_{score}"], outcomes.answers["margin"], outcomes.answers["answerable"]
        )
        assert metrics[f"best_{score}.test"].value == pytest.approx(value)
        assert metrics[f"threshold_{score}.test"].value == threshold


def test_means_of_fractions_have_bounds_that_are_fractions():
    n = 3
    answers = {"probability": np.array([0.0, 0.9, 0.99]), "token_accuracy": np.array([1.0, 1.0, 0.5])}
    outcomes = Outcomes(np.zeros(n), np.zeros(n), answers)
    metrics = measure(outcomes, outcomes, outcomes, score_name="probability")
    for name in ("testing_probability", "token_accuracy.test"):
        assert 0 <= metrics[name].low < metrics[name].value < metrics[name].high == 1
    assert metrics["testing_probability"].value == pytest.approx(0.63)
    one = Outcomes(np.zeros(1), np.zeros(1), {name: values[:1] for name, values in answers.items()})
    alone = measure(one, one, one, score_name="probability")["testing_probability"]
    assert (alone.value, alone.n) == (0, 1)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
