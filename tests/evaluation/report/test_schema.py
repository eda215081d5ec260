import jsonschema
import pytest

from reports import published
from speu_cli.evaluation.report.schema import eval_schema


def valid(instance):
    return jsonschema.Draft202012Validator(eval_schema()).is_valid(instance)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(eval_schema())


@pytest.mark.parametrize("references", [0, 1, 2])
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
        lambda one: one["attacks"]["relearned"].pop("steps"),
        lambda one: one["attacks"]["relearned"].update(rows="no digest"),
        lambda one: one["attacks"]["paraphrased"].pop("rows"),
    ],
)
def test_other_things_do_not_follow_it(damage):
    instance = published()
    damage(instance)
    assert not valid(instance)
