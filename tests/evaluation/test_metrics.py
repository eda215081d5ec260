import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import evaluation as oracle
from speu_cli.evaluation.metric import as_number
from speu_cli.evaluation.metrics import measure
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
