"""All commands on each task that is not one text and one label, from a base model to its requests."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tiny_tasks import (
    TEMPLATE,
    answering,
    image_processor,
    modelling,
    pictures,
    save,
    seeing,
    write_prompts,
    write_questions,
)

from speu_cli.cli.main import main
from speu_cli.evaluation.report.schema import eval_schema
from tiny import write_ids

ROWS, FORGET = 18, 3


@dataclass(frozen=True)
class Subject:
    """What a task needs.

    Attributes:
        task: Its name.
        save: Writes a base model.
        data: Writes a set of so many examples, and says where.
        ids: Of the examples to forget.
        epochs: How long to train.
        scores: Names of scores that have to be told.
        options: For commands that read data.
        of_eval: For ``speu eval``.
    """

    task: str
    save: Callable[[Path], object]
    data: Callable[[Path, int, int], str]
    ids: list[str]
    epochs: int
    scores: tuple[str, ...]
    options: tuple[str, ...] = ()
    of_eval: tuple[str, ...] = ()


def save_chatty(folder: Path) -> None:
    save(folder, modelling())
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": TEMPLATE}))


def save_encoder(folder: Path) -> None:
    """One without a head for questions, as a pretrained encoder comes."""
    save(folder, answering())
    answering().base_model.save_pretrained(folder)


SUBJECTS = (
    Subject(
        "question-answering",
        save_encoder,
        lambda folder, count, seed: write_questions(folder / f"{seed}.jsonl", count, seed=seed, longest=30),
        [f"q-0-{number}" for number in range(FORGET)],
        12,
        ("f1", "exact", "best_f1", "threshold_exact"),
        ("--task", "question-answering", "--max-length", "24", "--doc-stride", "5"),
    ),
    Subject(
        "causal-lm",
        save_chatty,
        lambda folder, count, seed: write_prompts(folder / f"{seed}.jsonl", count, seed=seed),
        [f"p-0-{number}" for number in range(FORGET)],
        12,
        ("probability", "token_accuracy", "exact_memorisation", "extraction_strength", "rouge_l"),
        of_eval=("--generate", "8"),
    ),
    Subject(
        "image-classification",
        lambda folder: save(folder, seeing()),
        lambda folder, count, seed: str(pictures(folder / str(seed), count, seed=seed)),
        ["apple/0.png", "fig/1.png", "pear/2.png"],
        30,
        ("accuracy",),
    ),
)


@dataclass(frozen=True)
class Home:
    """A folder in which a model was trained."""

    folder: Path
    subject: Subject
    trained: dict[str, Any]

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def train(self) -> str:
        return self.subject.data(self.folder, ROWS, 0)


@pytest.fixture(scope="module", params=SUBJECTS, ids=[one.task for one in SUBJECTS])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    subject: Subject = request.param
    folder = tmp_path_factory.mktemp(subject.task)
    subject.save(folder / "base")
    write_ids(folder / "ids.txt", subject.ids)
    path = str(folder / "trained.json")
    arguments = ["train", str(folder / "base"), "--data", subject.data(folder, ROWS, 0)]
    arguments += ["--epochs", str(subject.epochs), "--learning-rate", "3e-3", "--batch-size", "6"]
    with pytest.MonkeyPatch.context() as patched:
        trained = run(patched, path, *arguments, *subject.options, "-o", str(folder / "model"))
        data = ["--data", str(subject.data(folder, ROWS, 0))]
        held = ["--holdout", subject.data(folder, 9, 1)]
        fisher = ["fisher", str(folder / "model"), *data, *held, "-o", str(folder / "fisher")]
        run(patched, path, *fisher)
    return Home(folder, subject, trained)


def run(patched: pytest.MonkeyPatch, path: str, *arguments: str) -> dict[str, Any]:
    """The JSON object that a successful command prints."""
    with Path(path).open("w") as stdout:
        patched.setattr("sys.stdout", stdout)
        assert main([*arguments, "--json"]) == 0
    patched.undo()
    result: dict[str, Any] = json.loads(Path(path).read_text())
    return result


def test_training_learns(home: Home) -> None:
    assert home.trained["task"] == home.subject.task
    assert home.trained["examples"] == ROWS
    assert math.isfinite(home.trained["mean_loss"])


def test_targets_of_each_example(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default's steps; so few other rows of so small a model would be hurt, so they are not asked."""
    path = tmp_path / "recipe.toml"
    path.write_text('target = "each"\nsteps = 4\nchecked = 8\nwidth = 1e9\n')
    inputs = ["--fisher", home.path("fisher"), "--data", home.train, "--forget", home.path("ids.txt")]
    asked = ["unlearn", home.path("model"), *inputs, "--sparsity", "0.5", "--recipe", str(path)]
    done = run(monkeypatch, str(tmp_path / "told"), *asked, "-o", str(tmp_path / "new"))
    assert done["loss_before"] < done["loss_after"]
    assert done["criterion"]["forget.reached"] >= 0.5
    assert done["target_loss"] > done["loss_before"]


def test_a_request_with_a_mask(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = ["--fisher", home.path("fisher"), "--data", home.train, "--forget", home.path("ids.txt")]
    model, told = home.path("model"), str(tmp_path / "told")
    made = run(monkeypatch, told, "mask", model, *inputs, "--sparsity", "0.5", "-o", str(tmp_path / "mask"))
    assert made["selected"] == {"heads": [4, 8], "filters": [24, 48]}
    step = ["--mask", str(tmp_path / "mask"), "--rate", "1e-6", "--max-overshoot", "1000"]
    done = run(monkeypatch, told, "unlearn", model, *inputs, *step, "-o", str(tmp_path / "new"))
    assert done["forget_examples"] == FORGET
    assert done["loss_after"] > done["loss_before"]
    test = ["--test", home.subject.data(tmp_path, 9, 2), "--original", model, *home.subject.of_eval]
    sets = ["--data", home.train, "--forget", home.path("ids.txt"), *test]
    page = str(tmp_path / "page.html")
    measured = run(monkeypatch, told, "eval", str(tmp_path / "new"), *sets, "--html", page, "--show-text")
    jsonschema.validate(measured, eval_schema())
    shown = Path(page).read_text().replace("<wbr>", "")
    assert all(one in shown for one in home.subject.ids)
    own, *further = home.subject.scores
    names = [f"{part}_{own}" for part in ("unlearning", "remaining", "testing")]
    names += [f"{name}.{part}" for name in further for part in ("forget", "remaining", "test")]
    assert set(names) <= measured["model"].keys()
    assert all(measured["model"][name]["value"] is not None for name in names)
    assert measured["model"]["loss.forget"]["value"] == pytest.approx(done["loss_after"], rel=1e-4)
    assert measured["original"]["loss.forget"]["value"] == pytest.approx(done["loss_before"], rel=1e-4)


def test_a_state_serves_requests(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, told = str(tmp_path / "state"), str(tmp_path / "told")
    inputs = ["--model", home.path("model"), "--fisher", home.path("fisher"), "--data", home.train]
    run(monkeypatch, told, "requests", "init", state, *inputs, "--max-overshoot", "1000")
    for number, one in enumerate(home.subject.ids[:2]):
        ids = write_ids(tmp_path / "ids.txt", [one])
        asked = ["--forget", str(ids), "--rate", "1e-6"]
        run(monkeypatch, told, "unlearn", "--state", state, *asked, "-o", str(tmp_path / f"new-{number}"))
    assert len(run(monkeypatch, told, "requests", "list", state)["requests"]) == 2


def test_a_dry_run_tells_time_and_memory(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, inputs = str(tmp_path / "told"), [home.path("model"), "--data", home.train]
    planned = run(monkeypatch, told, "fisher", *inputs, "-o", str(tmp_path / "none"), "--dry-run")
    assert planned["used"] == ROWS
    assert planned["seconds"] > 0


def test_settings_that_differ_from_the_statistics_are_refused(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = ["--fisher", home.path("fisher"), "--data", home.train, "--forget", home.path("ids.txt")]
    other = {
        "question-answering": ["--doc-stride", "6"],
        "causal-lm": ["--no-chat-template"],
        "image-classification": ["--label-column", "kind"],
    }[home.subject.task]
    arguments = ["mask", home.path("model"), *inputs, *other, "-o", str(tmp_path / "mask")]
    assert main(arguments) == 4
    assert "was made with" in capsys.readouterr().err


def test_another_task_is_refused(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base"
    save(base, {"question-answering": answering, "causal-lm": modelling}.get(home.subject.task, seeing)())
    arguments = ["fisher", str(base), "--data", home.train, "--task", "classification"]
    assert main([*arguments, "-o", str(tmp_path / "none")]) == 2
    assert f"which is {home.subject.task}" in capsys.readouterr().err


def test_answers_are_generated_for_prompts_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "model", answering())
    data, ids = write_questions(tmp_path / "q.jsonl", 6), str(write_ids(tmp_path / "ids.txt", ["q-0-0"]))
    arguments = ["eval", str(tmp_path / "model"), "--data", data, "--test", data, "--forget", ids]
    for option, value in (("--generate", "4"), ("--perturbed", f"forget={data}")):
        assert main([*arguments, option, value]) == 2
        assert f"{option} is for causal-lm, but the task is question-answering" in capsys.readouterr().err


def test_another_template_or_processor_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_chatty(tmp_path / "words")
    save(tmp_path / "images", seeing())
    forget = {"words": "p-0-0", "images": "apple/0.png"}
    data = {"words": write_prompts(tmp_path / "p.jsonl", 6), "images": str(pictures(tmp_path / "p", 6))}
    for name, source in data.items():
        model, fisher = str(tmp_path / name), str(tmp_path / f"{name}.fisher")
        assert main(["fisher", model, "--data", source, "-o", fisher]) == 0
        if name == "words":
            path = tmp_path / name / "tokenizer_config.json"
            changed = json.loads(path.read_text()) | {"chat_template": TEMPLATE + " "}
            path.write_text(json.dumps(changed))
        else:
            processor = image_processor()
            processor.image_mean = [0.4, 0.5, 0.5]
            processor.save_pretrained(model)
        ids = str(write_ids(tmp_path / "ids.txt", [forget[name]]))
        capsys.readouterr()
        inputs = ["--fisher", fisher, "--data", source, "--forget", ids, "-o", str(tmp_path / "mask")]
        assert main(["mask", model, *inputs]) == 4
        message = capsys.readouterr().err
        assert "another chat template: sha256" in message or "its tokenizer is" in message
