"""Agreement example by example, against SciPy and loops."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from speu_cli.evaluation.agreement import agreement, agreement_of_references
from speu_cli.tasks.outcomes import Outcomes

REFERENCES = ("reference", "reference-2", "reference-3")


def models(n: int = 40) -> dict[str, dict[str, Outcomes]]:
    rng = np.random.default_rng(0)
    common = rng.exponential(size=n)
    return {
        name: {
            place: Outcomes(losses := common + rng.exponential(size=n), np.exp(-losses), {})
            for place in ("forget", "test")
        }
        for name in ("model", *REFERENCES)
    }


def distances(one: str, other: str, place: str) -> np.ndarray:
    """Different for every pair, both ways round."""
    return np.arange(40) * 0.01 + len(one) + 10 * len(other) + 100 * len(place)


def test_the_mean_over_the_references():
    outcomes = models()
    found = agreement("model", REFERENCES, outcomes, distances)
    mine = outcomes["model"]["forget"]
    theirs = [outcomes[name]["forget"] for name in REFERENCES]
    ranks = [stats.spearmanr(mine.losses, one.losses).statistic for one in theirs]
    apart = [np.abs(mine.confidences - one.confidences) for one in theirs]
    rank, confidence = found["agreement.loss_rank.forget"], found["agreement.confidence.forget"]
    assert rank.value == pytest.approx(np.mean(ranks))
    assert rank.low < rank.value < rank.high
    assert confidence.value == pytest.approx(np.mean(apart))
    each = np.mean(apart, axis=0)
    bounds = stats.t.interval(0.95, 39, each.mean(), stats.sem(each))
    assert (confidence.low, confidence.high) == pytest.approx(bounds)
    expected = np.mean([distances(name, "model", "test") for name in REFERENCES])
    assert found["agreement.kl.test"].value == pytest.approx(expected)
    assert set(found) == {
        *("agreement.loss_rank.forget", "agreement.confidence.forget"),
        *("agreement.kl.forget", "agreement.kl.test"),
    }


def test_the_floor_is_over_all_pairs_both_ways_round():
    outcomes = models()
    found = agreement_of_references(REFERENCES, outcomes, distances)
    losses = [outcomes[name]["forget"].losses for name in REFERENCES]
    ranks = [stats.spearmanr(a, b).statistic for a, b in itertools.combinations(losses, 2)]
    assert found["agreement.loss_rank.forget"].value == pytest.approx(np.mean(ranks))
    both = [distances(a, b, "forget").mean() for a, b in itertools.permutations(REFERENCES, 2)]
    assert found["agreement.kl.forget"].value == pytest.approx(np.mean(both))
    assert agreement_of_references(REFERENCES[:1], outcomes, distances) == {}


def test_a_model_agrees_with_itself():
    outcomes = models()
    found = agreement("model", ["model"], outcomes, lambda *_: np.zeros(40))
    assert found["agreement.loss_rank.forget"].value == pytest.approx(1)
    assert found["agreement.confidence.forget"].value == 0
    assert (found["agreement.kl.test"].low, found["agreement.kl.test"].high) == (0, 0)


def test_a_task_without_distributions_has_no_divergence():
    assert not any("kl" in name for name in agreement("model", REFERENCES, models(), lambda *_: None))


def test_examples_that_were_not_kept_do_not_count():
    values = np.where(np.arange(40) < 30, np.nan, 2.0)
    found = agreement("model", REFERENCES, models(), lambda *_: values)["agreement.kl.forget"]
    assert (found.value, found.n) == (2, 10)
    lost = agreement("model", REFERENCES, models(), lambda *_: np.full(40, np.nan))["agreement.kl.forget"]
    assert math.isnan(lost.value)
