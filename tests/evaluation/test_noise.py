"""Several retrained models: their mean and the floor that they set."""

import itertools
import math

import pytest

from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.noise import inside_noise, mean_of_references, noise

NAMES = ("unlearning_accuracy", "remaining_accuracy", "testing_accuracy", "membership.member_fraction")


def metrics(*values: float) -> dict[str, Metric]:
    return {
        name: Metric(value, value - 0.1, value + 0.1, 50) for name, value in zip(NAMES, values, strict=True)
    }


THREE = [metrics(0.80, 0.99, 0.9, 0.7), metrics(0.84, 0.98, 0.9, 0.6), metrics(0.88, 0.97, 0.9, 0.8)]


def test_the_mean_of_several_and_one_as_it_is():
    found = mean_of_references(THREE)
    assert found["unlearning_accuracy"].value == pytest.approx(0.84)
    assert (found["unlearning_accuracy"].low, found["unlearning_accuracy"].high) == pytest.approx(
        (0.74, 0.94)
    )
    assert found["unlearning_accuracy"].n == 50
    assert mean_of_references(THREE[:1]) == THREE[0]


def test_the_floor_is_the_mean_distance_of_all_pairs():
    floor = noise(THREE)
    for name in NAMES:
        pairs = list(itertools.combinations([one[name].value for one in THREE], 2))
        assert floor[f"noise.{name}"] == pytest.approx(sum(100 * abs(a - b) for a, b in pairs) / len(pairs))
    assert floor["noise.average"] == pytest.approx(sum(floor[f"noise.{name}"] for name in NAMES) / 4)
    assert noise(THREE[:1]) is None


def test_gaps_within_the_floor():
    model = metrics(0.85, 0.90, 0.9, 0.7)
    floor = noise(THREE)
    inside = inside_noise(gaps(model, mean_of_references(THREE)), floor)
    assert inside == {
        "unlearning_accuracy": True,
        "remaining_accuracy": False,
        "testing_accuracy": True,  # 0 is no larger than 0
        "membership.member_fraction": True,
        "average": True,
    }


def test_what_was_not_computed_is_neither_inside_nor_outside():
    broken = metrics(math.nan, 0.9, 0.9, 0.7)
    inside = inside_noise(gaps(broken, THREE[0]), noise(THREE))
    assert inside["unlearning_accuracy"] is None
    assert inside["average"] is None
    assert inside["testing_accuracy"] is True


def test_a_metric_that_one_reference_lacks_has_no_mean():
    fewer = {name: metric for name, metric in THREE[1].items() if name != "testing_accuracy"}
    assert "testing_accuracy" not in mean_of_references([THREE[0], fewer])
