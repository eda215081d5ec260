"""What each command hands to its stage, and how it prints what comes back."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from cli import fakes
from typer.testing import CliRunner

from reports import IDENTITY
from speu_cli import (
    DataChoice,
    EvaluateResult,
    Evidence,
    FisherResult,
    InspectResult,
    MaskResult,
    MergeResult,
    ObjectiveChoice,
    Runtime,
    TrainingChoice,
    TrainResult,
    TrainUnlearnResult,
    UnlearnResult,
)
from speu_cli.cli.app import app
from speu_cli.errors import InputError
from speu_cli.evaluation.gates import GateResult
from speu_cli.evaluation.metric import Metric
from speu_cli.stages.attack_choice import AttackChoice
from speu_cli.stages.attacks import AttackResult, Paraphrased, Relearned
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.fisher import Keeping

METRICS = {"testing_accuracy": Metric(0.9, 0.8, 0.95, 40), "loss.forget": Metric(0.7, 0.6, 0.8, 6)}
MET = GateResult("testing_accuracy>=0.5", True, 0.9, "0.9 is >= 0.5")
NOT_MET = GateResult("testing_accuracy>=0.95", False, 0.9, "0.9 is not >= 0.95")

TRAINED = TrainUnlearnResult(
    output=Path("new"),
    dry_run=False,
    method="npo",
    forget_examples=128,
    remaining_examples=11872,
    epochs=5.0,
    learning_rate=2e-4,
    steps=20,
    stopped=True,
    target_loss=0.7,
    loss_before=0.01,
    loss_after=0.69,
    selected={"heads": (14, 144)},
    parameters_changed=1000,
    parameters_total=4000,
    reads=["model", "d"],
    writes={"config.json": 700, "speu.json": None},
    note=None,
    seconds=12.34,
)

RESULTS = {
    "fisher": FisherResult(**vars(fakes.FisherResult())),
    "merge": MergeResult(
        output=Path("f"),
        sha256="ab",
        shards=8,
        examples=1200,
        used=300,
        holdout_examples=100,
        unseen_loss=0.5,
        bytes=4200,
    ),
    "mask": MaskResult(
        output=Path("m"),
        sha256="ab",
        selected={"heads": (14, 144), "filters": (3, 30)},
        entries=(21, 210),
        objective="mlf",
        objective_before=2.0,
        objective_after=1.5,
        swaps=7,
        forget_examples=128,
        picture=None,
    ),
    "unlearn": UnlearnResult(
        output=Path("new"),
        dry_run=False,
        method="spe-so",
        objective="mlf",
        within="wanda:0.9",
        forget_examples=128,
        examples_in_step=100,
        remaining_examples=11872,
        rate=2e-7,
        rate_trials=9,
        target_loss=0.7,
        loss_before=0.01,
        loss_after=0.69,
        selected={"heads": (14, 144)},
        parameters_changed=1000,
        parameters_total=4000,
        reads=["model", "f"],
        writes={"config.json": 700, "speu.json": None},
        recipe="paper",
        criterion={},
        note="something worth knowing",
        seconds=12.34,
    ),
    "evaluate": EvaluateResult(
        model=METRICS,
        original=METRICS,
        reference=None,
        gaps=None,
        gates=[MET],
        forget_examples=6,
        remaining_examples=54,
        test_examples=40,
        seconds=3.21,
        peak_memory_bytes=530_000_000,
        identity=IDENTITY,
        evidence=Evidence({}, {}),
    ),
    "train": TrainResult(
        output=Path("new"),
        task="classification",
        labels=5,
        examples=3000,
        excluded=64,
        epochs=5.0,
        steps=470,
        mean_loss=0.1234,
        seconds=61.0,
    ),
    "train_unlearn": TRAINED,
    "retrain": dataclasses.replace(TRAINED, method="retrain", selected=None),
    "inspect": InspectResult(
        path=Path("file"),
        kind="mask",
        record={"kind": "mask"},
        tensors={"count": 8, "bytes": 448},
        summary=[("kind", "mask"), ("heads", "4 of 8 [a-z]")],
        picture=None,
    ),
}


class Recorder:
    """Stands in for every stage: remembers the calls, returns ready results."""

    def __init__(self):
        self.calls = []
        self.results = dict(RESULTS)

    def stage(self, name):
        def run(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self.results[name]

        return run


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    for name in RESULTS:
        monkeypatch.setattr(f"speu_cli.stages.{name}.{name}", recorder.stage(name))
    return recorder


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Libraries as they were, whatever a command sets."""
    monkeypatch.setattr("speu_cli.cli.output.quiet_libraries", lambda **_: None)


def run(*arguments, **kwargs):
    result = CliRunner().invoke(app, arguments, **kwargs)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def the_call(recorder):
    [(name, args, kwargs)] = recorder.calls
    runtime = kwargs.pop("runtime", None)
    return name, args, kwargs, runtime


def test_fisher_by_default(recorder):
    run("fisher", "model", "--data", "d.jsonl", "-o", "f.safetensors")
    name, args, kwargs, runtime = the_call(recorder)
    assert (name, args) == ("fisher", (Path("model"), "d.jsonl", Path("f.safetensors")))
    assert kwargs == {
        "holdout": None,
        "ids": None,
        "exclude": None,
        "max_examples": None,
        "seed": 0,
        "collection": CollectionChoice(),
        "shard": None,
        "keeping": Keeping(),
        "auto_batch": False,
        "choice": DataChoice(),
    }
    assert (runtime.device, runtime.batch_tokens, runtime.force) == ("cpu", 2048, False)
    assert runtime.dtype == "float32"
    assert isinstance(runtime, Runtime)


def test_fisher_with_everything(recorder):
    run(
        *["fisher", "model", "--data", "-", "--holdout", "h", "--ids", "i", "--exclude", "-"],
        *["--max-examples", "9", "--seed", "7", "--output", "f", "--force"],
        *["--device", "cuda", "--batch-tokens", "64", "--id-column", "", "--text-column", "t"],
        *["--text-pair-column", "p", "--label-column", "l", "--split", "s", "--task", "regression"],
        *["--max-length", "32", "--scope", "structures", "--mask", "m", "--mask-sample", "99"],
        *["--shard", "2/8", "--checkpoint-every", "5", "--resume", "--dtype", "bfloat16"],
    )
    _, args, kwargs, runtime = the_call(recorder)
    assert args == (Path("model"), "-", Path("f"))
    assert kwargs == {
        "holdout": "h",
        "ids": "i",
        "exclude": "-",
        "max_examples": 9,
        "seed": 7,
        "collection": CollectionChoice("structures", None, Path("m"), 99),
        "shard": "2/8",
        "keeping": Keeping(5.0, resume=True),
        "auto_batch": False,
        "choice": DataChoice("", "t", "p", "l", "s", "regression", 32),
    }
    assert (runtime.device, runtime.batch_tokens, runtime.force) == ("cuda", 64, True)
    assert runtime.dtype == "bfloat16"


def test_fisher_finds_the_size_of_batches_where_it_is_asked_to(recorder):
    run("fisher", "model", "--data", "d", "-o", "f", "--batch-tokens", "auto", "--only", "mask")
    _, _, kwargs, _ = the_call(recorder)
    assert kwargs["auto_batch"] is True
    assert kwargs["collection"] == CollectionChoice(only="mask")


def test_merge(recorder):
    run("merge", "a", "b", "-o", "f")
    run("merge", "a", "-o", "f", "--force")
    [(name, args, kwargs), (_, _, forced)] = recorder.calls
    assert (name, args) == ("merge", ([Path("a"), Path("b")], Path("f")))
    assert kwargs.keys() == {"force", "progress"}
    assert (kwargs["force"], forced["force"]) == (False, True)


def test_merge_of_nothing_is_refused_before_the_stage(recorder):
    assert CliRunner().invoke(app, ["merge", "-o", "f"]).exit_code == 2
    assert recorder.calls == []


def test_mask_by_default(recorder):
    run("mask", "model", "--fisher", "f", "-o", "m")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("mask", (Path("model"), Path("f"), Path("m")))
    assert kwargs == {
        "data": None,
        "forget": None,
        "sparsity": 0.9,
        "kinds": "both",
        "curvature": "total",
        "rounds": None,
        "objective": "mlr",
        "within": None,
        "kv": "any",
        "forget_examples": "all",
        "target_loss": None,
        "picture": None,
        "choice": DataChoice(),
    }


def test_mask_with_everything(recorder):
    run(
        *["mask", "model", "--fisher", "f", "-o", "m", "--data", "d", "--forget", "-", "--sparsity", "0.5"],
        *["--kinds", "heads", "--curvature", "mean", "--rounds", "1", "--kv", "all", "--picture", "p.png"],
        *["--forget-examples", "remembered", "--target-loss", "0.7", "--objective", "mlf"],
        *["--within", "wanda:.90"],
    )
    _, _, kwargs, _ = the_call(recorder)
    assert kwargs == {
        "data": "d",
        "forget": "-",
        "sparsity": 0.5,
        "kinds": "heads",
        "curvature": "mean",
        "rounds": 1,
        "objective": "mlf",
        "within": "wanda:0.9",
        "kv": "all",
        "forget_examples": "remembered",
        "target_loss": 0.7,
        "picture": Path("p.png"),
        "choice": DataChoice(),
    }


UNLEARN = ["unlearn", "model", "--fisher", "f", "--data", "d", "--forget", "i"]


def test_unlearn_by_default(recorder):
    run(*UNLEARN, "-o", "new")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("unlearn", (Path("model"), Path("f"), "d", "i", Path("new")))
    assert kwargs == {
        "mask": None,
        "method": "spe-so",
        "sparsity": 0.9,
        "kinds": "both",
        "curvature": "total",
        "rounds": None,
        "objective": "mlr",
        "within": None,
        "ssd_alpha": 10.0,
        "ssd_lambda": 1.0,
        "kv": "any",
        "rate": None,
        "target_loss": None,
        "max_overshoot": None,
        "recipe": None,
        "holdout": None,
        "damping": None,
        "forget_examples": None,
        "hold_directions": None,
        "dry_run": False,
        "choice": DataChoice(),
    }


def test_unlearn_with_everything(recorder):
    run(
        *[*UNLEARN, "--mask", "m", "--method", "so", "--sparsity", "0", "--kinds", "filters"],
        *["--curvature", "mean", "--rounds", "2", "--kv", "all", "--rate", "1e-6", "--target-loss", "0.7"],
        *["--max-overshoot", "3", "--damping", "0.01", "--forget-examples", "remembered", "--dry-run"],
        *["--recipe", "mine.toml", "--holdout", "h", "--hold-directions", "inf"],
        *["--objective", "norm", "--within", "wanda:0", "--ssd-alpha", "7", "--ssd-lambda", "0.3"],
    )
    _, args, kwargs, _ = the_call(recorder)
    assert args[-1] is None
    assert kwargs == {
        "mask": Path("m"),
        "method": "so",
        "sparsity": 0.0,
        "kinds": "filters",
        "curvature": "mean",
        "rounds": 2,
        "objective": "norm",
        "within": "wanda:0.0",
        "ssd_alpha": 7.0,
        "ssd_lambda": 0.3,
        "kv": "all",
        "rate": 1e-6,
        "target_loss": 0.7,
        "max_overshoot": 3.0,
        "recipe": "mine.toml",
        "holdout": "h",
        "damping": 0.01,
        "forget_examples": "remembered",
        "hold_directions": math.inf,
        "dry_run": True,
        "choice": DataChoice(),
    }


def test_unlearn_rate_may_be_said_to_be_auto(recorder):
    run(*UNLEARN, "-o", "new", "--rate", "auto")
    assert the_call(recorder)[2]["rate"] is None


TRAINING = ["unlearn", "model", "--data", "d", "--forget", "i"]


def test_unlearn_by_training_by_default(recorder):
    run(*TRAINING, "--method", "npo", "-o", "new")
    name, args, kwargs, runtime = the_call(recorder)
    assert (name, args) == ("train_unlearn", (Path("model"), "d", "i", Path("new")))
    assert kwargs == {
        "method": "npo",
        "mask": None,
        "fisher": None,
        "objective": ObjectiveChoice(),
        "training": TrainingChoice(),
        "reference": None,
        "answers": None,
        "target_loss": None,
        "stop_when_unseen": False,
        "dry_run": False,
        "choice": DataChoice(),
    }
    assert (runtime.device, runtime.force) == ("cpu", False)


def test_unlearn_by_training_with_everything(recorder):
    run(
        *[*TRAINING, "--method", "dpo", "--mask", "m", "--fisher", "f", "--reference", "r"],
        *["--answers", "a", "--target-loss", "0.7", "--stop-when-unseen", "--dry-run", "--epochs", "2.5"],
        *["--learning-rate", "1e-4", "--batch-size", "4", "--weight-decay", "0", "--schedule", "constant"],
        *[
            "--seed",
            "7",
            "--beta",
            "0.2",
            "--retain-weight",
            "2",
            "--gamma",
            "0",
            "--gamma-schedule",
            "linear",
        ],
        *["--device", "cuda", "--force"],
    )
    _, args, kwargs, runtime = the_call(recorder)
    assert args[-1] is None
    assert kwargs == {
        "method": "dpo",
        "mask": Path("m"),
        "fisher": Path("f"),
        "objective": ObjectiveChoice(0.0, "linear", 0.2, 2.0),
        "training": TrainingChoice(2.5, 1e-4, 4, 0.0, "constant", 7),
        "reference": Path("r"),
        "answers": Path("a"),
        "target_loss": 0.7,
        "stop_when_unseen": True,
        "dry_run": True,
        "choice": DataChoice(),
    }
    assert (runtime.device, runtime.force) == ("cuda", True)


def test_unlearn_by_retraining(recorder):
    run(*TRAINING, "--method", "retrain", "--base", "b", "--epochs", "2", "-o", "new")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("retrain", (Path("model"), Path("b"), "d", "i", Path("new")))
    assert kwargs == {
        "training": TrainingChoice(epochs=2.0),
        "dry_run": False,
        "choice": DataChoice(),
    }


def test_eval_by_default(recorder):
    run("eval", "model", "--data", "d", "--forget", "i", "--test", "t")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("evaluate", (Path("model"), "d", "i", "t"))
    assert kwargs == {
        "original": None,
        "reference": (),
        "exclude": None,
        "max_remaining": None,
        "generate": None,
        "perturbed": {},
        "attacks": AttackChoice(),
        "seed": 0,
        "require": (),
        "policy": None,
        "choice": DataChoice(),
    }


def test_eval_with_everything(recorder):
    run(
        *["eval", "model", "--data", "d", "--forget", "-", "--test", "t", "--original", "o"],
        *["--reference", "r", "--reference", "s", "--exclude", "x", "--max-remaining", "5"],
        *["--seed", "3", "--generate", "9", "--require", "a>=1", "--require", "b<2"],
        *["--policy", "y"],
        *["--relearn", "16", "--relearn-examples", "4", "--relearn-rate", "1e-4"],
        *["--quantize", "int4", "--quantize", "int8", "--paraphrases", "p"],
    )
    _, _, kwargs, _ = the_call(recorder)
    attacks = AttackChoice(
        relearn=16, relearn_examples=4, relearn_rate=1e-4, quantize=("int8", "int4"), paraphrases="p"
    )
    assert kwargs == {
        "original": Path("o"),
        "reference": [Path("r"), Path("s")],
        "exclude": "x",
        "max_remaining": 5,
        "generate": 9,
        "perturbed": {},
        "attacks": attacks,
        "seed": 3,
        "require": ["a>=1", "b<2"],
        "policy": Path("y"),
        "choice": DataChoice(),
    }


def test_train_by_default(recorder):
    run("train", "base", "--data", "d", "-o", "new")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("train", (Path("base"), "d", Path("new")))
    assert kwargs == {
        "exclude": None,
        "epochs": 5.0,
        "learning_rate": 5e-5,
        "batch_size": 32,
        "weight_decay": 0.0,
        "num_labels": None,
        "seed": 0,
        "choice": DataChoice(),
    }


def test_inspect(recorder):
    run("inspect", "file", "--picture", "p.png", "--force")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args, kwargs) == ("inspect", (Path("file"),), {"picture": Path("p.png"), "force": True})


def test_environment_stands_in_for_options_and_yields_to_them(recorder):
    environment = {"SPEU_DEVICE": "mps", "SPEU_BATCH_TOKENS": "99"}
    run("fisher", "model", "--data", "d", "-o", "f", "--batch-tokens", "7", env=environment)
    runtime = the_call(recorder)[3]
    assert (runtime.device, runtime.batch_tokens) == ("mps", 7)


COMMAND_LINES = {
    "fisher": ["fisher", "model", "--data", "d", "-o", "f"],
    "merge": ["merge", "a", "b", "-o", "f"],
    "mask": ["mask", "model", "--fisher", "f", "-o", "m"],
    "unlearn": [*UNLEARN, "-o", "new"],
    "train_unlearn": [*TRAINING, "--method", "npo", "-o", "new"],
    "retrain": [*TRAINING, "--method", "retrain", "--base", "b", "-o", "new"],
    "evaluate": ["eval", "model", "--data", "d", "--forget", "i", "--test", "t"],
    "train": ["train", "base", "--data", "d", "-o", "new"],
    "inspect": ["inspect", "file"],
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_json_is_every_field_of_the_result(recorder, name):
    result = json.loads(run(*COMMAND_LINES[name], "--json").stdout)
    fields = {field.name for field in dataclasses.fields(RESULTS[name])}
    assert set(result) - {"passed", "definitions"} == fields - {"evidence"}


def test_json_may_stand_before_the_command(recorder):
    assert run("--json", "inspect", "file").stdout == run("inspect", "file", "--json").stdout


def test_text_of_fisher(recorder):
    lines = run(*COMMAND_LINES["fisher"]).stdout.splitlines()
    assert "size               4.2 kB" in lines
    assert "examples           1,200" in lines
    assert "mean loss          not computed" in lines


def test_text_of_training(recorder):
    lines = run(*COMMAND_LINES["train_unlearn"]).stdout.splitlines()
    assert "forget loss         0.01 -> 0.69 (target 0.7)" in lines
    assert "steps               20, stopped early" in lines
    assert "parameters trained  1,000 of 4,000 (25 %)" in lines


def test_fisher_without_holdout_says_what_that_means(recorder):
    recorder.results["fisher"] = dataclasses.replace(RESULTS["fisher"], unseen_loss=None, used=300)
    result = run(*COMMAND_LINES["fisher"])
    assert "300 of 1,200 (25 %)" in result.stdout
    assert "--target-loss" in result.stderr
    assert run(*COMMAND_LINES["fisher"], "-q").stderr == ""


def test_text_of_merge(recorder):
    lines = run(*COMMAND_LINES["merge"]).stdout.splitlines()
    assert "shards             8" in lines
    assert "examples           300 of 1,200 (25 %)" in lines
    assert "held-out loss      0.5" in lines


def test_text_of_mask(recorder):
    lines = run(*COMMAND_LINES["mask"]).stdout.splitlines()
    assert "made for   128 forget examples" in lines
    assert "heads      14 of 144 (9.72 %)" in lines
    assert "weights    21 of 210 (10 %)" in lines
    assert "objective  mlf, 2 -> 1.5 (7 swaps)" in lines


def test_text_of_unlearn(recorder):
    result = run(*COMMAND_LINES["unlearn"])
    assert "forget loss         0.01 -> 0.69 (target 0.7)" in result.stdout
    assert "parameters changed  1,000 of 4,000 (25 %)" in result.stdout
    assert "recipe              paper\n" in result.stdout
    assert "would" not in result.stdout
    assert result.stderr == "speu: something worth knowing\n"


def test_text_of_a_dry_run(recorder):
    recorder.results["unlearn"] = dataclasses.replace(RESULTS["unlearn"], dry_run=True, output=None)
    lines = run(*UNLEARN, "--dry-run").stdout.splitlines()
    assert lines[0] == "output              nothing, this was a dry run"
    assert lines[-2:] == [
        "would write         config.json (700 bytes)",
        "                    speu.json",
    ]


def test_text_of_eval(recorder):
    lines = run(*COMMAND_LINES["evaluate"]).stdout.splitlines()
    assert lines[0].split() == ["metric", "original", "model"]
    assert lines[1].startswith("testing_accuracy")
    assert "peak memory         530 MB" in lines
    assert lines[-1] == "met      testing_accuracy>=0.5: 0.9 is >= 0.5"


def test_text_of_eval_with_attacks(recorder):
    relearned = Relearned(8, 56, rows="b" * 64, steps=5, learning_rate=5e-5, level=0.1, curves={})
    attacks = AttackResult(relearned, Paraphrased(60, 4, "c" * 64))
    recorder.results["evaluate"] = dataclasses.replace(RESULTS["evaluate"], attacks=attacks)
    lines = run(*COMMAND_LINES["evaluate"]).stdout.splitlines()
    assert "relearnt from       8 forgotten examples, measured on the other 56" in lines
    assert "paraphrases         60; 4 forgotten examples have none" in lines


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_requirement_that_is_not_met_ends_with_1_and_prints_the_result(recorder, arguments):
    recorder.results["evaluate"] = dataclasses.replace(RESULTS["evaluate"], gates=[MET, NOT_MET])
    result = CliRunner().invoke(app, [*COMMAND_LINES["evaluate"], *arguments])
    assert result.exit_code == 1
    if arguments:
        assert json.loads(result.stdout)["passed"] is False
    else:
        assert "NOT MET  testing_accuracy>=0.95: 0.9 is not >= 0.95" in result.stdout


def test_text_of_train(recorder):
    assert "left out   64" in run(*COMMAND_LINES["train"]).stdout.splitlines()


def test_text_of_inspect(recorder):
    assert run("inspect", "file").stdout == "path   file\nkind   mask\nheads  4 of 8 [a-z]\n"


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (fakes.FisherResult, FisherResult),
        (fakes.InspectResult, InspectResult),
        (fakes.Runtime, Runtime),
        (fakes.CollectionChoice, CollectionChoice),
        (fakes.Keeping, Keeping),
    ],
)
def test_fake_results_have_the_fields_of_the_real_ones(fake, real):
    assert [field.name for field in dataclasses.fields(fake)] == [
        field.name for field in dataclasses.fields(real)
    ]


def test_two_readers_of_standard_input_are_refused_before_the_stage(recorder):
    result = CliRunner().invoke(
        app, ["fisher", "model", "--data", "d", "-o", "f", "--ids", "-", "--exclude", "-"]
    )
    assert isinstance(result.exception, InputError)
    assert recorder.calls == []
