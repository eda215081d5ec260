import json

import jsonschema
import pytest

from reports import IDENTITY, contents
from speu_cli.cli.output import as_json
from speu_cli.evaluation.report.schema import eval_schema
from speu_cli.stages.evaluate import EvaluateResult, Evidence


def published(references=1):
    made = contents(references=references, require=("testing_accuracy>=0.1", "nothing>=1"))
    result = EvaluateResult(
        model=made.metrics["model"],
        original=made.metrics["original"],
        reference=made.metrics.get("reference 1"),
        gaps=made.gaps,
        gates=made.gates,
        forget_examples=12,
        remaining_examples=60,
        test_examples=60,
        seconds=1.5,
        peak_memory_bytes=1000,
        identity=IDENTITY,
        evidence=Evidence({}, {}),
    )
    return json.loads(json.dumps(as_json(result.as_json()), allow_nan=False))


def valid(instance):
    return jsonschema.Draft202012Validator(eval_schema()).is_valid(instance)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(eval_schema())


@pytest.mark.parametrize("references", [0, 1])
def test_results_follow_it_and_it_names_all_their_fields(references):
    instance = published(references)
    jsonschema.validate(instance, eval_schema())
    assert set(instance) == set(eval_schema()["properties"]) == set(eval_schema()["required"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one.pop("passed"),
        lambda one: one.update(passed="yes"),
        lambda one: one.update(model={}),
        lambda one: one["model"]["loss.forget"].pop("n"),
        lambda one: one["model"]["loss.forget"].update(value="0.5"),
        lambda one: one["gaps"].update({"gap.average": -1}),
        lambda one: one["gaps"].update({"average": 1}),
        lambda one: one["gates"][0].update(value="high"),
        lambda one: one.update(forget_examples=1.5),
        lambda one: one.update(seconds=None),
        lambda one: one["identity"]["sets"].pop("test"),
        lambda one: one["identity"]["weights"].update(model="no digest"),
    ],
)
def test_other_things_do_not_follow_it(damage):
    instance = published()
    damage(instance)
    assert not valid(instance)
