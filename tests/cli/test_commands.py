"""What each command hands to its stage."""

import json
import sys
from pathlib import Path

import pytest
from cli.fakes import Recorder, modules
from typer.testing import CliRunner

from speu_cli import DataChoice, Runtime
from speu_cli.cli.app import app
from speu_cli.errors import InputError


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    for name, module in modules(recorder.stage).items():
        monkeypatch.setitem(sys.modules, name, module)
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
        "choice": DataChoice(),
    }
    assert (runtime.device, runtime.batch_tokens, runtime.force) == ("cpu", 2048, False)
    assert isinstance(runtime, Runtime)


def test_fisher_with_everything(recorder):
    run(
        *["fisher", "model", "--data", "-", "--holdout", "h", "--ids", "i", "--exclude", "-"],
        *["--max-examples", "9", "--seed", "7", "--output", "f", "--force"],
        *["--device", "cuda", "--batch-tokens", "64", "--id-column", "", "--text-column", "t"],
        *["--text-pair-column", "p", "--label-column", "l", "--split", "s", "--task", "regression"],
        *["--max-length", "32"],
    )
    _, args, kwargs, runtime = the_call(recorder)
    assert args == (Path("model"), "-", Path("f"))
    assert kwargs == {
        "holdout": "h",
        "ids": "i",
        "exclude": "-",
        "max_examples": 9,
        "seed": 7,
        "choice": DataChoice("", "t", "p", "l", "s", "regression", 32),
    }
    assert (runtime.device, runtime.batch_tokens, runtime.force) == ("cuda", 64, True)


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
        "picture": None,
        "choice": DataChoice(),
    }


def test_mask_with_everything(recorder):
    run(
        *["mask", "model", "--fisher", "f", "-o", "m", "--data", "d", "--forget", "-", "--sparsity", "0.5"],
        *["--kinds", "heads", "--curvature", "mean", "--rounds", "1", "--picture", "p.png"],
    )
    _, _, kwargs, _ = the_call(recorder)
    assert kwargs == {
        "data": "d",
        "forget": "-",
        "sparsity": 0.5,
        "kinds": "heads",
        "curvature": "mean",
        "rounds": 1,
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
        "rate": None,
        "target_loss": None,
        "max_overshoot": 2.0,
        "damping": 0.1,
        "forget_examples": "remembered",
        "dry_run": False,
        "choice": DataChoice(),
    }


def test_unlearn_with_everything(recorder):
    run(
        *[*UNLEARN, "--mask", "m", "--method", "so", "--sparsity", "0", "--kinds", "filters"],
        *["--curvature", "mean", "--rounds", "2", "--rate", "1e-6", "--target-loss", "0.7"],
        *["--max-overshoot", "3", "--damping", "0.01", "--forget-examples", "all", "--dry-run"],
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
        "rate": 1e-6,
        "target_loss": 0.7,
        "max_overshoot": 3.0,
        "damping": 0.01,
        "forget_examples": "all",
        "dry_run": True,
        "choice": DataChoice(),
    }


def test_unlearn_rate_may_be_said_to_be_auto(recorder):
    run(*UNLEARN, "-o", "new", "--rate", "auto")
    assert the_call(recorder)[2]["rate"] is None


def test_eval_by_default(recorder):
    run("eval", "model", "--data", "d", "--forget", "i", "--test", "t")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args) == ("evaluate", (Path("model"), "d", "i", "t"))
    assert kwargs == {
        "original": None,
        "reference": None,
        "max_remaining": None,
        "seed": 0,
        "require": (),
        "choice": DataChoice(),
    }


def test_eval_with_everything(recorder):
    run(
        *["eval", "model", "--data", "d", "--forget", "-", "--test", "t", "--original", "o"],
        *["--reference", "r", "--max-remaining", "5", "--seed", "3"],
        *["--require", "a>=1", "--require", "b<2"],
    )
    _, _, kwargs, _ = the_call(recorder)
    assert kwargs == {
        "original": Path("o"),
        "reference": Path("r"),
        "max_remaining": 5,
        "seed": 3,
        "require": ["a>=1", "b<2"],
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
    run("inspect", "file", "--picture", "p.png")
    name, args, kwargs, _ = the_call(recorder)
    assert (name, args, kwargs) == ("inspect", (Path("file"),), {"picture": Path("p.png")})


def test_environment_stands_in_for_options_and_yields_to_them(recorder):
    environment = {"SPEU_DEVICE": "mps", "SPEU_BATCH_TOKENS": "99"}
    run("fisher", "model", "--data", "d", "-o", "f", "--batch-tokens", "7", env=environment)
    runtime = the_call(recorder)[3]
    assert (runtime.device, runtime.batch_tokens) == ("mps", 7)


@pytest.mark.parametrize("arguments", [["--json", "inspect", "file"], ["inspect", "file", "--json"]])
def test_json_before_or_after_the_command(recorder, arguments):
    result = run(*arguments)
    assert json.loads(result.stdout)["loss"] is None


def test_text_by_default(recorder):
    result = run("inspect", "file")
    assert "examples  1,200" in result.stdout


def test_two_readers_of_standard_input_are_refused_before_the_stage(recorder):
    result = CliRunner().invoke(
        app, ["fisher", "model", "--data", "d", "-o", "f", "--ids", "-", "--exclude", "-"]
    )
    assert isinstance(result.exception, InputError)
    assert recorder.calls == []
