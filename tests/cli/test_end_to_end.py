"""The commands as a user runs them: real processes, real stages, a tiny model."""

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from speu_cli.cli.main import main

SPEU = [sys.executable, "-m", "speu_cli"]
ROWS = 60
FORGET = 6


def environment(**settings):
    return {**os.environ, "OMP_NUM_THREADS": "1", **settings}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a base model, data and an id list."""
    folder = tmp_path_factory.mktemp("home")
    tiny.tiny_checkpoint(folder / "base")
    rows = tiny.tiny_rows(ROWS)
    tiny.write_rows(folder / "train.jsonl", rows)
    tiny.write_rows(folder / "dev.jsonl", tiny.tiny_rows(30, seed=1))
    tiny.write_rows(folder / "test.jsonl", tiny.tiny_rows(30, seed=2))
    tiny.write_ids(folder / "ids.txt", [row["id"] for row in rows[:FORGET]])
    return folder


def speu(home, *arguments, stdin=None):
    """Run a command in the folder."""
    return subprocess.run(
        [*SPEU, *arguments],
        cwd=home,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def result_of(process):
    """The JSON object that a successful run printed, and nothing else it printed."""
    assert process.returncode == 0, process.stderr
    assert [line for line in process.stderr.splitlines() if not line.startswith("speu: ")] == []
    assert process.stdout.count("\n") == 1
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def trained(home):
    """The result of ``speu train``, whose model has memorised the rows."""
    settings = ["--epochs", "40", "--learning-rate", "3e-3", "--batch-size", "8"]
    process = speu(home, "train", "base", "--data", "train.jsonl", *settings, "-o", "model", "--json")
    return result_of(process)


@pytest.fixture(scope="module")
def statistics(home, trained):
    """The result of ``speu fisher``."""
    data = ["--data", "train.jsonl", "--holdout", "dev.jsonl"]
    return result_of(speu(home, "fisher", "model", *data, "-o", "fisher.safetensors", "--json"))


@pytest.fixture(scope="module")
def forgotten(home, statistics):
    """The result of ``speu unlearn``, the ids read from standard input."""
    ids = (home / "ids.txt").read_text()
    return result_of(speu(home, *request("-"), "-o", "unlearned", "--json", stdin=ids))


def request(ids="ids.txt"):
    """The arguments of a request that a tiny model can serve."""
    inputs = ["--fisher", "fisher.safetensors", "--data", "train.jsonl", "--forget", ids]
    return ["unlearn", "model", *inputs, "--sparsity", "0.5", "--target-loss", "0.5"]


def test_train(home, trained):
    assert trained["examples"] == ROWS
    assert (home / "model" / "model.safetensors").exists()


def test_fisher(statistics):
    assert (statistics["examples"], statistics["holdout_examples"]) == (ROWS, 30)


def test_shards_computed_apart_are_merged(home, statistics):
    data = ["--data", "train.jsonl", "--holdout", "dev.jsonl"]
    for index in (1, 2):
        result_of(
            speu(home, "fisher", "model", *data, "--shard", f"{index}/2", "-o", f"shard-{index}", "--json")
        )
    merged = result_of(speu(home, "merge", "shard-2", "shard-1", "-o", "merged", "--json"))
    assert (merged["shards"], merged["examples"], merged["used"]) == (2, ROWS, ROWS)
    assert merged["unseen_loss"] == pytest.approx(statistics["unseen_loss"])
    assert merged["bytes"] == statistics["bytes"]


def test_mask_with_a_picture(home, statistics):
    inputs = ["--fisher", "fisher.safetensors", "--data", "train.jsonl", "--forget", "ids.txt"]
    output = ["-o", "mask.safetensors", "--picture", "mask.png"]
    result = result_of(speu(home, "mask", "model", *inputs, "--sparsity", "0.5", *output, "--json"))
    assert result["selected"] == {"heads": [4, 8], "filters": [24, 48]}
    assert (home / "mask.png").read_bytes().startswith(b"\x89PNG")


def test_unlearn(home, forgotten):
    assert forgotten["forget_examples"] == FORGET
    assert forgotten["loss_before"] < 0.1 < forgotten["loss_after"]
    assert (home / "unlearned" / "model.safetensors").exists()


def test_eval_prints_its_result_and_fails_a_requirement(home, forgotten):
    sets = ["--data", "train.jsonl", "--forget", "ids.txt", "--test", "test.jsonl", "--original", "model"]
    process = speu(home, "eval", "unlearned", *sets, "--require", "loss.forget>=1e6", "--json")
    assert (process.returncode, process.stderr) == (1, "")
    result = json.loads(process.stdout)
    assert result["passed"] is False
    assert result["model"]["loss.forget"]["value"] > result["original"]["loss.forget"]["value"]


@pytest.fixture
def here(home, monkeypatch):
    """Commands run within this process, which has torch already and so cannot be told by the environment."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    monkeypatch.chdir(home)
    monkeypatch.setattr("speu_cli.cli.output.quiet_libraries", lambda **_: None)
    return home


def test_dry_run_writes_nothing(here, statistics, capfd):
    before = sorted(here.iterdir())
    assert main([*request(), "--dry-run"]) == 0
    assert "would write" in capfd.readouterr().out
    assert sorted(here.iterdir()) == before


def test_eval_as_text(here, forgotten, capfd):
    sets = ["--data", "train.jsonl", "--forget", "ids.txt", "--test", "test.jsonl"]
    assert main(["eval", "unlearned", *sets, "--require", "testing_accuracy>=0", "-q"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].startswith("met      testing_accuracy>=0")
    assert err == ""


def test_a_report_on_a_full_disk_costs_no_measurement(here, forgotten, tmp_path, capfd, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("speu_cli.stages.report.page", full)
    sets = ["--data", "train.jsonl", "--forget", "ids.txt", "--test", "test.jsonl"]
    assert main(["eval", "unlearned", *sets, "--html", str(tmp_path / "page.html"), "--json", "-q"]) == 7
    out, err = capfd.readouterr()
    assert json.loads(out)["forget_examples"]
    assert err.splitlines() == ["speu: error: no space left on device", "hint: free some space"]


def test_eval_with_reports(here, forgotten, tmp_path, capfd):
    sets = ["--data", "train.jsonl", "--forget", "ids.txt", "--test", "test.jsonl", "--original", "model"]
    files = [
        "--html",
        tmp_path / "page.html",
        "--markdown",
        tmp_path / "page.md",
        "--figures",
        tmp_path / "all",
    ]
    command = ["eval", "unlearned", *sets, *map(str, files), "-q"]
    assert main(command) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert len(list((tmp_path / "all").iterdir())) == 14
    capfd.readouterr()
    assert main(command) == 5
    out, err = capfd.readouterr()
    assert out == ""
    assert "--force" in err
    assert main([*command, "--show-text", "--force"]) == 0


def test_eval_with_options_of_a_report_that_was_not_asked_for(here, forgotten, capfd):
    sets = ["--data", "train.jsonl", "--forget", "ids.txt", "--test", "test.jsonl"]
    assert main(["eval", "unlearned", *sets, "--show-text"]) == 2
    assert "none was asked for" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["fisher.safetensors", "unlearned", "model"])
def test_inspect(here, forgotten, capfd, name):
    assert main(["inspect", name]) == 0
    out, err = capfd.readouterr()
    assert f"path  {name}" in re.sub(" +", "  ", out)
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--output", "unlearned"], 5, "--force"),
        (["--output", "other", "--fisher", "base/model.safetensors"], 4, "base/model.safetensors"),
        (["--output", "other", "--forget", "train.jsonl"], 2, "train.jsonl"),
        (["--output", "other", "--forget", "nowhere.txt"], 2, "nowhere.txt"),
        (["--output", "other", "--device", "cuda:99"], 7, "cuda"),
    ],
)
def test_request_that_cannot_be_served(here, forgotten, capfd, arguments, code, told):
    before = sorted(here.iterdir())
    assert main([*request(), *arguments]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("speu: error: ")
    assert told in err
    assert len(err.splitlines()) <= 2
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_pass_leaves_a_checkpoint_and_no_output(tmp_path, number, code):
    """Standard error is a terminal here, so that its progress bar tells when the pass is under way."""
    tiny.tiny_checkpoint(tmp_path / "model")
    tiny.write_rows(tmp_path / "train.jsonl", tiny.tiny_rows(4_000))
    before = sorted(tmp_path.iterdir())
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [
            *SPEU,
            "fisher",
            "model",
            "--data",
            "train.jsonl",
            "--batch-tokens",
            "8",
            "-o",
            "fisher.safetensors",
        ],
        cwd=tmp_path,
        env=environment(TERM="xterm", COLUMNS="120"),
        stdout=subprocess.PIPE,
        stderr=its_end,
    )
    os.close(its_end)
    try:
        shown = read_until(terminal, rb"[1-9]\d*%")
        process.send_signal(number)
        shown += read_until(terminal, None)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(terminal)
    assert process.returncode == code, shown
    assert out == b""
    assert b"Traceback" not in shown
    assert b"go on with --resume" in shown
    left = {path.name for path in {*tmp_path.iterdir()} - {*before}}
    assert left - {".fisher.safetensors.checkpoint.lock"} == {"fisher.safetensors.checkpoint"}


def read_until(terminal, pattern):
    """Read what is shown until it matches a pattern, or without one until the other end is closed."""
    shown = b""
    while pattern is None or re.search(pattern, shown) is None:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # closed
            break
    return shown


def test_disk_that_is_full(tmp_path, home, statistics):
    """The largest file that a process may write stands in for a full disk."""
    script = 'ulimit -f 8; trap "" XFSZ; exec "$@"'
    data = ["--data", "train.jsonl", "--holdout", "dev.jsonl"]
    arguments = ["fisher", "model", *data, "-o", str(tmp_path / "fisher.safetensors")]
    process = subprocess.run(
        ["bash", "-c", script, "bash", *SPEU, *arguments],
        cwd=home,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 7, process.stderr
    assert "Traceback" not in process.stderr
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_python_module_and_console_script_are_one(home):
    script = Path(sys.executable).with_name("speu")
    versions = {
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ([str(script)], SPEU)
    }
    assert len(versions) == 1
