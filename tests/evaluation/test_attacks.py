import math

import numpy as np
import pytest

from speu_cli.evaluation.attack_names import under_attack
from speu_cli.evaluation.attacks import (
    Curve,
    curve,
    level_between,
    measure_changed,
    measure_forgotten,
    of_relearning,
    withstood,
)
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.metrics import measure
from speu_cli.evaluation.table import table
from speu_cli.tasks.outcomes import Outcomes


def outcomes(losses: list[float], right: int = 0) -> Outcomes:
    n = len(losses)
    answers = {"predictions": np.zeros(n), "labels": np.where(np.arange(n) < right, 0.0, 1.0)}
    return Outcomes(np.array(losses), np.exp(-np.array(losses)), answers)


def falling(*losses: float) -> Curve:
    """Of two examples, whose losses are 1 apart."""
    seen = zip([0, 1, 2, 4, 8], losses, strict=False)
    return curve([(step, outcomes([loss - 0.5, loss + 0.5])) for step, loss in seen], "accuracy")


def test_names():
    metrics = under_attack("int4", {"loss.forget": Metric(1, 0, 2, 3)})
    assert metrics == {"attack.int4.loss.forget": Metric(1, 0, 2, 3)}


def test_what_a_model_is_measured_by_is_what_it_always_is_measured_by():
    sets = [outcomes([0.1, 0.4, 2.0], 2), outcomes([0.2, 0.1], 1), outcomes([0.7, 0.9], 1)]
    whole = measure(*sets, score_name="accuracy", seed=4)
    changed = measure_changed(*sets, score_name="accuracy", seed=4)
    assert list(changed) == [
        *("unlearning_accuracy", "remaining_accuracy", "testing_accuracy"),
        *("loss.forget", "membership.auc"),
    ]
    assert changed == {name: whole[name] for name in changed}
    alone = measure_forgotten(sets[0], "accuracy")
    assert alone == {name: whole[name] for name in ("unlearning_accuracy", "loss.forget")}


def test_the_level_is_halfway_back_to_the_original():
    assert level_between(falling(3.0, 1.0), falling(1.0, 0.5)) == 2.0
    assert math.isnan(level_between(falling(3.0), None))
    assert math.isnan(level_between(falling(1.0), falling(1.0)))
    assert math.isnan(level_between(falling(math.nan), falling(1.0)))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((3.0, 2.5, 2.4, 2.3, 2.2), 8),  # it never comes back
        ((3.0, 2.5, 2.4, 2.0, 2.2), 2),  # that it goes up again does not count
        ((3.0, 1.0), 0),
        ((1.5, 3.0), 0),  # it knows it before the first step
        ((3.0, math.nan), math.nan),  # training diverged
        ((3.0, 1.0, math.nan), 0),  # but what it knew before, it knew
    ],
)
def test_steps_withstood(losses, expected):
    found = withstood(falling(*losses), 2.0)
    assert found.value == pytest.approx(expected, nan_ok=True)
    assert found.n == 2
    assert math.isnan(found.low)


def test_without_a_level_no_steps_are_told():
    assert math.isnan(withstood(falling(3.0, 1.0), math.nan).value)


def test_relearning_tells_the_end():
    found = of_relearning(falling(3.0, 2.0, 1.25), 2.5, "accuracy")
    assert {name: metric.value for name, metric in found.items()} == {
        "attack.relearn.unlearning_accuracy": 0.0,
        "attack.relearn.loss.forget": 1.25,
        "attack.relearn.loss.fall": 1.75,
        "attack.relearn.steps": 0.0,
    }


def test_the_table_shows_a_metric_under_attack_as_the_metric_itself():
    metrics = {
        "attack.int8.loss.forget": Metric(0.31949, math.nan, math.nan, 9),
        "attack.int8.membership.auc": Metric(0.5, math.nan, math.nan, 9),
        "attack.relearn.steps": Metric(16.0, math.nan, math.nan, 9),
    }
    assert [row[1] for row in table(metrics).rows] == ["0.319", "50.0 %", "16"]


def test_the_fall_is_of_each_example():
    """That all fall alike leaves no doubt, however different they are."""
    alike = curve([(0, outcomes([1.0, 9.0, 4.0])), (1, outcomes([0.5, 8.5, 3.5]))], "accuracy").fall
    assert (alike.value, alike.low, alike.high, alike.n) == pytest.approx((0.5, 0.5, 0.5, 3))
    apart = curve([(0, outcomes([1.0, 9.0, 4.0])), (1, outcomes([1.0, 7.5, 4.0]))], "accuracy").fall
    half = 4.302652729911275 * math.sqrt(0.75 / 3)  # of t with two degrees of freedom, and the deviation
    assert (apart.value, apart.low, apart.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
