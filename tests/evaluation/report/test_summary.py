from dataclasses import replace

import numpy as np
import pytest

from reports import contents
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.report.rows import metric_tables
from speu_cli.evaluation.report.summary import summarize


def with_auc(low, value, high):
    made = contents()
    model = {**made.metrics["model"], "membership.auc": Metric(value, low, high, 50)}
    return replace(made, metrics={**made.metrics, "model": model})


def said(made):
    summary = summarize(made)
    return " ".join([summary.asked, summary.done, summary.verdict, *summary.findings, *summary.limits])


@pytest.mark.parametrize(
    ("require", "verdict", "passed"),
    [
        ((), "No requirement was set", None),
        (("testing_accuracy>=0",), "The requirement is met", True),
        (("testing_accuracy>=0", "loss.forget>=0"), "All 2 requirements are met", True),
        (("testing_accuracy>=0", "loss.forget<=0"), "1 of 2 requirements not met", False),
        (("unknown>=0",), "1 of 1 requirements not met", False),
    ],
)
def test_verdict_comes_from_the_gates_alone(require, verdict, passed):
    summary = summarize(contents(require=require))
    assert summary.verdict.startswith(verdict)
    assert summary.passed is passed


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((0.45, 0.52, 0.6), "could not tell forgotten examples from unseen ones"),
        ((0.55, 0.62, 0.7), "can still be told from unseen ones"),
        ((0.3, 0.4, 0.45), "look less known than unseen ones"),
        ((np.nan, np.nan, np.nan), "could not be computed"),
    ],
)
def test_membership_is_judged_by_its_interval(interval, sentence):
    assert sentence in said(with_auc(*interval))


def test_without_a_reference_nothing_is_said_of_retraining():
    made = contents(references=0)
    assert "is not known" in said(made)
    assert "percentage points away" not in said(made)
    assert "percentage points away" in said(contents())


def test_a_gap_that_was_not_computed_is_no_number():
    made = replace(contents(), gaps={"gap.average": np.nan})
    assert "nan" not in said(made)
    assert "could not be computed" in said(made)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (None, "is not recorded"),
        ({"kind": "training"}, "not that anything was removed"),
        ({"method": "so", "selected": {"heads": [8, 8]}}, "8 of 8 heads"),
        ({"method": "npo", "selected": None}, "training, method npo"),
        ({"method": "\x1b[2J"}, "\\x1b[2J"),
        ({"method": 3, "selected": {"heads": "many"}}, "method 3"),
    ],
)
def test_what_was_done_is_what_is_recorded(record, sentence):
    assert sentence in summarize(replace(contents(), record=record)).done


def test_every_report_says_that_it_is_no_proof():
    assert "not a proof" in said(contents())
    assert "With 12 forgotten examples the figures are uncertain" in said(contents())


@pytest.mark.parametrize(
    ("floor", "sentence"), [(2.0, "is no further than that"), (0.5, "is further than that")]
)
def test_several_retrained_models_give_the_gap_a_measure(floor, sentence):
    noise = {"noise.average": floor, "noise.testing_accuracy": floor}
    made = replace(
        contents(), gaps={"gap.average": 1.0, "gap.testing_accuracy": 1.0}, noise=noise, retrained=3
    )
    assert f"3 such models are {floor:.2f} points away from each other" in said(made)
    assert sentence in said(made)
    assert "the mean of the 3 retrained models" in said(made)
    table = metric_tables(made)["scores"]
    assert table.header[-1] == "noise in points"
    assert f"{floor:.2f}" in {row[-1] for row in table.rows}


def test_one_retrained_model_gives_no_measure_of_noise():
    assert "away from each other" not in said(contents())
    assert metric_tables(contents())["scores"].header[-1] == "gap in points"
