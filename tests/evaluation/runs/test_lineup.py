"""Which runs can be compared, what they say of the same models, and the distances."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from evaluated import evaluation, run

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.runs.lineup import line_up

Change = Callable[[dict[str, Any]], object]


def names(lineup: Any, kind: str) -> list[str]:
    return [model.name for model in lineup.models if model.kind == kind]


def test_models_that_all_runs_name_are_there_once() -> None:
    lineup = line_up([run("a"), run("b", evaluation("3", unlearning_accuracy=0.25))])
    assert [model.name for model in lineup.models] == ["original", "reference", "a", "b"]
    assert lineup.models[0].runs == ["a", "b"]
    assert lineup.notes == []


def test_gaps_are_those_of_the_evaluation() -> None:
    values = evaluation(references=2)
    values["references"][1]["testing_accuracy"]["value"] -= 0.1
    for model in (values["reference"],):
        model["testing_accuracy"]["value"] -= 0.05
    model = line_up([run("a", values)]).models[-1]
    assert model.against == "reference"
    gap = 100 * abs(
        values["model"]["testing_accuracy"]["value"] - values["reference"]["testing_accuracy"]["value"]
    )
    assert model.gaps is not None
    assert model.noise is not None
    assert model.inside_noise is not None
    assert model.gaps["gap.testing_accuracy"] == pytest.approx(gap)
    assert model.noise["noise.testing_accuracy"] == pytest.approx(10)
    assert model.inside_noise["testing_accuracy"] is (gap <= 10)


def test_the_gaps_that_were_printed_are_the_same() -> None:
    values = evaluation()
    found = line_up([run("a", values)]).models[-1].gaps
    assert found == pytest.approx(values["gaps"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.update(forget_examples=13), "forget sets of other sizes: 12 and 13"),
        (lambda one: one.update(test_examples=61), "test sets of other sizes: 60 and 61"),
        (lambda one: one["identity"].update(task="regression"), "other tasks: classification and regression"),
        (lambda one: one["identity"]["sets"].update(remaining="9" * 64), "other rows as remaining set"),
        (lambda one: one["identity"]["encoding"].update(max_length=64), "other settings of the encoding"),
    ],
)
def test_runs_on_something_else_are_refused_with_both_sides(change: Change, message: str) -> None:
    other = evaluation()
    change(other)
    with pytest.raises(ArtifactError, match=rf"a\.json and b\.json cannot be compared: {message}") as refused:
        line_up([run("a"), run("b", other)])
    assert refused.value.exit_code == 4


def test_answers_of_another_length_are_refused_wherever_they_are() -> None:
    short, long = evaluation(), evaluation()
    short["identity"]["answer_tokens"], long["identity"]["answer_tokens"] = 16, 32
    older = evaluation()
    del older["identity"]["answer_tokens"]
    with pytest.raises(ArtifactError, match=r"b\.json and c\.json .*: answers of at most 16 and 32 tokens"):
        line_up([run("a", older), run("b", short), run("c", long)])
    assert names(line_up([run("a", older), run("b", short), run("c", short)]), "run") == ["a", "b", "c"]


def test_another_score_is_refused() -> None:
    other = evaluation()
    for metrics in (other["model"], other["original"], other["reference"], *other["references"]):
        for place in ("unlearning", "remaining", "testing"):
            metrics[f"{place}_f1"] = metrics.pop(f"{place}_accuracy")
    other["identity"]["score"] = "f1"
    with pytest.raises(ArtifactError, match="other scores: accuracy and f1"):
        line_up([run("a"), run("b", other)])


@pytest.mark.parametrize("change", ["weights", "values"])
def test_retrained_models_that_differ_are_both_shown_and_said(change: str) -> None:
    other = evaluation("3")
    if change == "weights":
        other["identity"]["weights"]["reference"] = "8" * 64
    else:
        other["reference"]["loss.test"]["value"] += 0.01
    lineup = line_up([run("a"), run("b", other), run("c")])
    assert names(lineup, "reference") == ["reference of a", "reference of b"]
    assert {model.name: model.against for model in lineup.models if model.kind == "run"} == {
        "a": "reference of a",
        "b": "reference of b",
        "c": "reference of a",
    }
    said = "about the retrained model, so each is shown: reference of a in a, c; reference of b in b"
    assert said in lineup.notes[0]


def test_rounding_and_what_is_of_others_do_not_make_another_model() -> None:
    other = evaluation("3")
    other["reference"]["loss.test"]["value"] *= 1 + 1e-7
    for values, steps in ((one := evaluation(), 4.0), (other, 8.0)):
        metric = {"value": steps, "low": None, "high": None, "n": 3}
        values["reference"]["attack.relearn.steps"] = metric
    lineup = line_up([run("a", one), run("b", other)])
    assert names(lineup, "reference") == ["reference"]
    # It depends on the model in question, so no number is that of the retrained model.
    assert "attack.relearn.steps" not in lineup.models[1].metrics


def test_a_run_without_a_retrained_model_takes_that_of_the_others() -> None:
    lineup = line_up([run("a"), run("b", evaluation("3", references=0))])
    assert [model.against for model in lineup.models] == ["reference", None, "reference", "reference"]
    assert lineup.notes == ["compared with the retrained model of the other runs: b"]


def test_without_any_there_are_no_gaps() -> None:
    lineup = line_up([run("a", evaluation(references=0))])
    assert {model.gaps is None for model in lineup.models} == {True}


def test_the_same_model_twice_and_other_seeds_are_said() -> None:
    other = copy.deepcopy(evaluation())
    other["identity"]["seed"] = 5
    notes = line_up([run("a\x1b"), run("b", other)]).notes
    assert notes[0].endswith("other draws: 0, 5")
    assert notes[1] == "the same model: a\\x1b, b"
