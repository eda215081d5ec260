"""Reading what ``speu eval --json`` printed, whole and damaged."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from evaluated import evaluation, run

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.runs.run import run_from

Damage = Callable[[dict[str, Any]], object]


def test_all_of_it_is_read() -> None:
    values = evaluation(references=2)
    read = run("a", values)
    for side, name in ((read.model, "model"), (read.original, "original"), (read.reference, "reference")):
        assert side is not None
        metrics = {
            metric: {part: None if math.isnan(x) else x for part, x in vars(found).items()}
            for metric, found in side.metrics.items()
        }
        assert metrics == values[name]
    assert read.reference is not None
    assert list(read.reference.weights) == ["2" * 64, "2" * 64]
    assert read.measured.sizes == {"forget": 12, "remaining": 60, "test": 60}
    assert read.measured.rows == values["identity"]["sets"]
    assert read.forgetting is not None
    assert read.forgetting.selected == {"heads": (2, 48)}
    assert read.attacks == {
        "relearn": {"steps": 5, "learning_rate": 5e-5, "shown": 4, "rows": "b" * 64},
        "paraphrase": {"examples": 7, "rows": "c" * 64},
    }


def test_null_is_not_a_number() -> None:
    values = evaluation()
    values["model"]["loss.forget"] = {"value": None, "low": None, "high": None, "n": 3}
    found = run("a", values).model.metrics["loss.forget"]
    assert math.isnan(found.value)
    assert isinstance(found, Metric)


def test_what_was_not_given_is_none() -> None:
    values = evaluation(references=0)
    values |= {"original": None, "forgetting": None, "attacks": None}
    read = run("a", values)
    assert (read.original, read.reference, read.forgetting) == (None, None, None)
    assert read.attacks == {}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda one: one.clear(), "not what speu eval --json prints"),
        (lambda one: one.pop("model"), "not what speu eval --json prints"),
        (lambda one: one.pop("identity"), "does not say which rows"),
        (lambda one: one.pop("original"), "no original"),
        (lambda one: one.update(model=[]), "model is .*, expected an object"),
        (lambda one: one["model"].pop("testing_accuracy"), r"no model\.testing_accuracy"),
        (lambda one: one["model"]["loss.test"].pop("n"), r"no model\.loss\.test\.n"),
        (lambda one: one["model"]["loss.test"].update(value="0.5"), "expected a finite number or null"),
        (lambda one: one["model"]["loss.test"].update(value=True), "expected a finite number or null"),
        (lambda one: one["model"]["loss.test"].update(value=1e300 * 1e10), "expected a finite number"),
        (lambda one: one["model"]["loss.test"].update(n=-1), "whole number of at least 0"),
        (lambda one: one["model"].update({"<b>": one["model"]["loss.test"]}), "not the name of a metric"),
        (lambda one: one.update(forget_examples=1.5), "expected a whole number"),
        (lambda one: one["identity"].update(score="f1"), r"no model\.unlearning_f1"),
        (lambda one: one["original"].pop("testing_accuracy"), r"no original\.testing_accuracy"),
        (lambda one: one["references"][0].pop("testing_accuracy"), r"no references\.0\.testing_accuracy"),
        (lambda one: one["model"].update(testing_f1=one["model"]["loss.test"]), "of another score than"),
        (lambda one: one["identity"]["sets"].pop("test"), r"no identity\.sets\.test"),
        (lambda one: one["identity"]["weights"].pop("reference"), r"no identity\.weights\.reference"),
        (lambda one: one["forgetting"].update(selected={"heads": [1]}), "not two whole numbers"),
        (lambda one: one["forgetting"].update(selected={"heads": [1, None]}), "expected a whole number"),
        (lambda one: one["attacks"]["relearned"].pop("rows"), "relearned does not say with which rows"),
        (lambda one: one["attacks"]["relearned"].pop("steps"), r"no attacks\.relearned\.steps"),
        (lambda one: one["attacks"].update(paraphrased={"rows": 1, "examples": 3}), "expected a text"),
        (lambda one: one.update(references=[3]), r"references\.0 is 3, expected an object"),
    ],
)
def test_damaged_results_are_refused_with_what_is_wrong(damage: Damage, message: str) -> None:
    values = evaluation()
    damage(values)
    with pytest.raises(ArtifactError, match=message) as refused:
        run_from(values, "a", "a.json")
    assert str(refused.value).startswith("a.json: ")
    assert refused.value.hint


def test_messages_show_no_control_characters() -> None:
    values = evaluation()
    values["identity"]["seed"] = "\x1b[31m\u202e"
    with pytest.raises(ArtifactError) as refused:
        run("a", json.loads(json.dumps(values)))
    assert str(refused.value).isprintable()
