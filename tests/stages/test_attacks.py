"""Attacks of an evaluation: each against the same thing done by hand, and what they leave behind."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tasks import answering, modelling, pictures, save, seeing, write_prompts, write_questions

import speu_cli
from memorised import FORGET, Home, memorised, snapshot
from oracles.attacks import relearnt, rounded_row
from speu_cli import AttackChoice, DataChoice, EvaluateResult
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.cli.main import main
from speu_cli.data.selection import sample_flags
from speu_cli.stages.attacks import prepare
from speu_cli.stages.evaluation_identity import hash_rows
from speu_cli.stages.report import report_contents
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from tiny import tiny_checkpoint, tiny_tokenizer, write_ids, write_rows

SHOWN = 2  # of five, by default
ALL = AttackChoice(relearn=3, relearn_rate=1e-3, quantize=("int8", "int4"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return memorised(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def other(home: Home) -> Path:
    """A model that knows nothing of the data."""
    return tiny_checkpoint(home.folder / "other", seed=5)


def evaluate(home: Home, attacks: AttackChoice | None = None, **settings: Any) -> EvaluateResult:
    model = settings.pop("model", home.model)
    sets = (home.path("train.jsonl"), home.path("ids.txt"), home.path("test.jsonl"))
    return speu_cli.evaluate(model, *sets, attacks=attacks, **settings)


@pytest.fixture(scope="module")
def attacked(home: Home, other: Path) -> EvaluateResult:
    """All attacks that need no file on the three models, the one in question having forgotten all."""
    return evaluate(home, ALL, model=other, original=home.model, reference=other)


def test_rounded_models_are_measured_as_if_they_had_been_written(
    home: Home, attacked: EvaluateResult, tmp_path: Path
) -> None:
    for precision, largest, group in (("int8", 127, 1000), ("int4", 7, 64)):
        model = load_checkpoint(home.model).model
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                rows = module.weight.double().tolist()
                module.weight.copy_(torch.tensor([rounded_row(row, largest, group) for row in rows]))
        model.save_pretrained(tmp_path / precision)
        tiny_tokenizer("bert").save_pretrained(tmp_path / precision)
        by_hand = evaluate(home, model=tmp_path / precision).model
        assert attacked.original is not None
        names = [
            "unlearning_accuracy",
            "remaining_accuracy",
            "testing_accuracy",
            "loss.forget",
            "membership.auc",
        ]
        for name in names:
            found = attacked.original[f"attack.{precision}.{name}"].value
            assert found == pytest.approx(by_hand[name].value, rel=1e-5)
        assert by_hand["loss.forget"] != attacked.original["loss.forget"]


def test_a_relearnt_model_is_one_trained_by_hand(home: Home, other: Path, attacked: EvaluateResult) -> None:
    session = open_session(other, DataChoice(), Runtime())
    forgotten = [row["id"] for row in home.rows("train.jsonl")[:FORGET]]
    examples = session.read(home.path("train.jsonl")).select(forgotten)
    flags = sample_flags(FORGET, SHOWN, 0)
    encoded = session.encode(examples)
    shown, held_back = (
        encoded.select([i for i in range(FORGET) if flags[i] == one]) for one in (True, False)
    )
    model = session.checkpoint.model

    def loss_of(position: int) -> torch.Tensor:
        inputs, labels = shown.collate([position])
        return session.task.losses(model(**inputs).logits, labels)[0]

    relearnt(model, loss_of, range(SHOWN), steps=3, rate=1e-3)
    by_hand = session.outcomes(held_back, "").losses
    end = attacked.model["attack.relearn.loss.forget"]
    assert end.n == FORGET - SHOWN
    assert end.value == pytest.approx(float(by_hand.mean()), rel=1e-4)
    assert attacked.attacks is not None
    relearned = attacked.attacks.relearned
    assert relearned is not None
    assert (relearned.shown, relearned.held_back) == (SHOWN, FORGET - SHOWN)
    assert (relearned.steps, relearned.learning_rate) == (3, 1e-3)
    assert relearned.rows == hash_rows(examples.select([examples.ids[i] for i in range(FORGET) if flags[i]]))
    curves = relearned.curves
    assert list(curves) == ["model", "original", "reference"]
    points = curves["model"].points
    assert [one.step for one in points] == [0, 1, 2, 3]
    assert points[-1].loss == end
    fall = attacked.model["attack.relearn.loss.fall"]
    assert fall.value == pytest.approx(points[0].loss.value - end.value)
    assert fall.value > 0
    assert relearned.level == pytest.approx(
        (points[0].loss.value + curves["original"].points[0].loss.value) / 2
    )


def test_a_report_draws_the_models_in_the_order_of_its_columns(
    home: Home, other: Path, attacked: EvaluateResult
) -> None:
    made = report_contents(attacked, other, home.model, mask=None, show_text=False)
    assert made.relearning is not None
    assert list(made.relearning.curves) == list(made.metrics) == ["original", "model", "reference"]


def test_a_twin_of_the_reference_comes_back_as_fast_as_it(attacked: EvaluateResult) -> None:
    assert attacked.reference is not None
    assert attacked.original is not None
    names = [name for name in attacked.model if name.startswith("attack.")]
    assert len(names) == 2 * 5 + 4
    assert {name: attacked.reference[name].value for name in names} == {
        name: attacked.model[name].value for name in names
    }
    assert attacked.attacks is not None
    assert attacked.attacks.relearned is not None
    level, curve = attacked.attacks.relearned.level, attacked.attacks.relearned.curves["model"]
    above = [one.step for one in curve.points if one.loss.value > level]
    assert attacked.model["attack.relearn.steps"].value == above[-1]
    assert attacked.original["attack.relearn.steps"].value == 0
    assert attacked.gaps is not None
    assert not any(name.startswith("gap.attack.") for name in attacked.gaps)


def test_attacks_change_no_other_metric_nor_each_other_nor_any_file(home: Home) -> None:
    before = snapshot(home.folder)
    together = evaluate(home, ALL)
    assert snapshot(home.folder) == before
    alone = {
        **evaluate(home).model,
        **evaluate(home, AttackChoice(quantize=("int4",))).model,
        **evaluate(home, AttackChoice(quantize=("int8",))).model,
        **evaluate(home, AttackChoice(relearn=3, relearn_rate=1e-3)).model,
    }
    for name, metric in together.model.items():
        assert metric.value == pytest.approx(alone[name].value, nan_ok=True, rel=1e-12), name
    assert together.model.keys() == alone.keys()


@pytest.mark.parametrize(
    "choice", [AttackChoice(relearn=2, relearn_rate=1e-2), AttackChoice(quantize=("int4",))], ids=str
)
def test_the_model_in_memory_is_what_it_was(choice: AttackChoice, home: Home) -> None:
    session = open_session(home.model, DataChoice(), Runtime())
    model = session.checkpoint.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examples = session.read(home.path("train.jsonl"))[:6]
    sets = dict.fromkeys(("forget", "remaining", "test"), examples)
    tried = prepare(choice, session, sets, 0)
    attacked = tried.on(session, "model", {part: session.encode(rows) for part, rows in sets.items()})
    assert attacked.metrics or attacked.curve
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_one_seed_gives_one_result_and_another_other_examples(home: Home) -> None:
    attacks = AttackChoice(relearn=2, relearn_examples=1)
    ends = [
        evaluate(home, attacks, seed=seed).model["attack.relearn.loss.forget"] for seed in (0, 0, 1, 2, 3)
    ]
    assert ends[0] == ends[1]
    assert len({end.value for end in ends}) > 1


def test_without_the_original_no_steps_are_told(home: Home) -> None:
    found = evaluate(home, AttackChoice(relearn=1)).model
    assert math.isnan(found["attack.relearn.steps"].value)
    assert math.isfinite(found["attack.relearn.loss.forget"].value)


def test_a_training_that_diverges_is_not_computed(home: Home) -> None:
    found = evaluate(home, AttackChoice(relearn=2, relearn_rate=1e30), original=home.model).model
    for name in ("unlearning_accuracy", "loss.forget", "steps"):
        assert math.isnan(found[f"attack.relearn.{name}"].value)


def paraphrases(home: Home, folder: Path, count: int = 3, **changes: Any) -> str:
    rows = [
        row | {"text": f"word7 {row['text']} word9"} | changes for row in home.rows("train.jsonl")[:count]
    ]
    return str(write_rows(folder / "paraphrases.jsonl", rows))


def test_paraphrases_are_measured_as_if_they_were_what_is_forgotten(home: Home, tmp_path: Path) -> None:
    source = paraphrases(home, tmp_path)
    result = evaluate(home, AttackChoice(paraphrases=source))
    rows = home.rows("train.jsonl")
    in_place = [row | {"text": f"word7 {row['text']} word9"} for row in rows[:3]] + rows[3:]
    ids = write_ids(tmp_path / "ids", [row["id"] for row in rows[:3]])
    by_hand = speu_cli.evaluate(
        home.model, str(write_rows(tmp_path / "all.jsonl", in_place)), str(ids), home.path("test.jsonl")
    )
    for name in ("unlearning_accuracy", "loss.forget"):
        found, expected = result.model[f"attack.paraphrase.{name}"], by_hand.model[name]
        assert found.value == pytest.approx(expected.value)
        assert found.n == 3
    assert result.attacks is not None
    assert result.attacks.paraphrased is not None
    paraphrased = result.attacks.paraphrased
    assert (paraphrased.examples, paraphrased.missing) == (3, FORGET - 3)
    others = write_rows(tmp_path / "others.jsonl", [row | {"text": "word3"} for row in rows[:3]])
    again = evaluate(home, AttackChoice(paraphrases=str(others))).attacks
    assert again is not None
    assert again.paraphrased is not None
    assert again.paraphrased.rows != paraphrased.rows
    assert result.attacks.relearned is None


def test_no_attack_says_nothing(home: Home) -> None:
    result = evaluate(home)
    assert result.attacks is None
    assert not any(name.startswith("attack.") for name in result.model)


@pytest.mark.parametrize("task", ["question-answering", "causal-lm", "image-classification"])
def test_other_tasks(task: str, tmp_path: Path) -> None:
    data = str(tmp_path / "data.jsonl")
    if task == "question-answering":
        model, score = answering(), "f1"
        write_questions(tmp_path / "data.jsonl", 9)
    elif task == "causal-lm":
        model, score = modelling(tied=True), "probability"
        write_prompts(tmp_path / "data.jsonl", 9)
    else:
        model, score = seeing(), "accuracy"
        data = str(pictures(tmp_path / "pictures", 9))
    folder = save(tmp_path / "model", model)
    session = open_session(folder, DataChoice(max_length=None if score == "accuracy" else 24), Runtime())
    ids = str(write_ids(tmp_path / "ids", session.read(data).ids[:4]))
    result = speu_cli.evaluate(folder, data, ids, data, attacks=ALL, choice=session.choice)
    found = {name: one for name, one in result.model.items() if name.startswith("attack.")}
    assert len(found) == 2 * 5 + 4
    assert math.isfinite(found["attack.int4.loss.forget"].value)
    assert found[f"attack.relearn.unlearning_{score}"].n == 2
    assert result.attacks is not None
    assert result.attacks.relearned is not None
    losses = [one.loss.value for one in result.attacks.relearned.curves["model"].points]
    assert len(set(losses)) == 4


LEAST = "expected a whole number of at least 1"
ABOVE = "expected a finite number above 0"
BAD = {
    "all of them": (["--relearn", "2", "--relearn-examples", "5"], "expected less than the 5 forgotten"),
    "examples of nothing": (["--relearn-examples", "2"], "belong to --relearn"),
    "rate of nothing": (["--relearn-rate", "1e-3"], "belong to --relearn"),
    "no steps": (["--relearn", "0"], LEAST),
    "no examples": (["--relearn", "1", "--relearn-examples", "0"], LEAST),
    "rate of 0": (["--relearn", "1", "--relearn-rate", "0"], ABOVE),
    "rate that is no number": (["--relearn", "1", "--relearn-rate", "nan"], ABOVE),
    "three bits": (["--quantize", "int3"], "expected one of int8, int4"),
    "no paraphrases": (["--paraphrases", "missing.jsonl"], "missing.jsonl: no such file"),
}


def command(home: Home, *more: str, ids: str | None = None) -> list[str]:
    sets = ["--data", home.path("train.jsonl"), "--test", home.path("test.jsonl")]
    return ["eval", str(home.model), *sets, "--forget", ids or home.path("ids.txt"), *more]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert captured.out == ""
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = BAD[case]
    refused(capsys, command(home, *arguments), message)


def test_bad_paraphrases(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_others = paraphrases(home, tmp_path, FORGET + 2)
    message = "2 of 7 ids are not in the forget set: 'row-0-5', 'row-0-6'"
    refused(capsys, command(home, "--paraphrases", of_others), message)
    twice = paraphrases(home, tmp_path, id="row-0-1")
    refused(capsys, command(home, "--paraphrases", twice), "id 'row-0-1' is there twice")
    rows = [{"text": "word1", "label": 0}]
    unnamed = str(write_rows(tmp_path / "unnamed.jsonl", rows))
    refused(capsys, command(home, "--paraphrases", unnamed), "unnamed.jsonl: no id column")
    wrong = paraphrases(home, tmp_path, label=7)
    refused(capsys, command(home, "--paraphrases", wrong), "has label 7")


def test_one_forgotten_example_cannot_be_divided(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(write_ids(tmp_path / "one", ["row-0-0"]))
    refused(capsys, command(home, "--relearn", "1", ids=one), "got 1 forgotten example, expected at least 2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"relearn": 0},
        {"relearn": 1, "relearn_examples": 0},
        {"relearn": 1, "relearn_rate": math.inf},
        {"quantize": ("int3",)},
    ],
    ids=str,
)
def test_the_library_refuses_them_too(wrong: dict[str, Any], home: Home) -> None:
    with pytest.raises(speu_cli.InputError, match="expected"):
        evaluate(home, AttackChoice(**wrong))
