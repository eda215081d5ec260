import math

import pytest

from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric


def as_metrics(
    score: str, unlearning: float, remaining: float, testing: float, member: float
) -> dict[str, Metric]:
    values = {
        f"unlearning_{score}": unlearning,
        f"remaining_{score}": remaining,
        f"testing_{score}": testing,
        "loss.forget": 0.3,
        "membership.member_fraction": member,
        "membership.auc": 0.5,
    }
    return {name: Metric(value, value, value, 100) for name, value in values.items()}


@pytest.mark.parametrize("score", ["accuracy", "spearman"])
def test_the_average_gap_of_the_papers_tables(score):
    """BERT, SPE-SO against RT, from Table 2."""
    retrained = as_metrics(score, 0.8516, 0.9795, 0.8478, 0.7500)
    unlearned = as_metrics(score, 0.8594, 0.9415, 0.8462, 0.7969)
    points = gaps(unlearned, retrained)
    assert points == pytest.approx(
        {
            f"gap.unlearning_{score}": 0.78,
            f"gap.remaining_{score}": 3.80,
            f"gap.testing_{score}": 0.16,
            "gap.membership.member_fraction": 4.69,
            "gap.average": (0.78 + 3.80 + 0.16 + 4.69) / 4,
        }
    )
    assert gaps(retrained, unlearned) == points


def test_no_gap_to_itself():
    metrics = as_metrics("accuracy", 0.9, 0.8, 0.7, 0.6)
    assert set(gaps(metrics, metrics).values()) == {0.0}


def test_a_metric_that_one_side_lacks_leaves_no_average():
    metrics = as_metrics("accuracy", 0.9, 0.8, 0.7, 0.6)
    for points in (
        gaps(metrics, {name: metrics[name] for name in metrics if name != "testing_accuracy"}),
        gaps({name: metrics[name] for name in metrics if name != "testing_accuracy"}, metrics),
        gaps(metrics, {**metrics, "testing_accuracy": Metric(math.nan, math.nan, math.nan, 0)}),
    ):
        assert math.isnan(points["gap.testing_accuracy"])
        assert math.isnan(points["gap.average"])
        assert points["gap.unlearning_accuracy"] == 0
    assert math.isnan(gaps({}, {})["gap.average"])
