"""Runs of ``speu fisher`` that are left, killed or stopped by an example, and taken up again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from speu_cli import ArtifactError, OutputExistsError, fisher
from speu_cli.cli.main import main
from speu_cli.stages.fisher import Keeping
from speu_cli.stages.runtime import Runtime
from speu_cli.statistics.collector import Pass
from tiny import tiny_checkpoint, tiny_rows, write_rows

ROWS = 60
SMALL_BATCHES = Runtime(batch_tokens=40)
SPEU = [sys.executable, "-m", "speu_cli"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", "bert")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(write_rows(tmp_path / "rows.jsonl", tiny_rows(ROWS, pairs=True)))


def checkpoint(output: Path) -> Path:
    return output.with_name(output.name + ".checkpoint")


def stop_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Let a pass end with an error at a batch."""
    add, count = Pass.add, iter(range(10_000))

    def stopping(self: Pass, *arguments: Any) -> None:
        if next(count) == batch:
            raise KeyboardInterrupt
        add(self, *arguments)

    monkeypatch.setattr(Pass, "add", stopping)


@pytest.mark.parametrize("batch", [0, 1, 7, 14])
def test_a_resumed_run_gives_the_same_bytes_wherever_it_was_left(
    model: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "resumed"
    fisher(model, data, whole, runtime=SMALL_BATCHES)
    with monkeypatch.context() as patch:
        stop_at(patch, batch)
        with pytest.raises(KeyboardInterrupt):
            fisher(model, data, output, runtime=SMALL_BATCHES)
    assert checkpoint(output).exists() and not output.exists()
    result = fisher(model, data, output, keeping=Keeping(resume=True), runtime=SMALL_BATCHES)
    assert result is not None and (result.resumed > 0) == (batch > 0)
    assert output.read_bytes() == whole.read_bytes()
    assert not checkpoint(output).exists()


def test_a_resumed_run_keeps_the_size_of_its_batches(
    model: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "resumed"
    fisher(model, data, whole, runtime=SMALL_BATCHES)
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            fisher(model, data, output, runtime=SMALL_BATCHES)
    fisher(model, data, output, keeping=Keeping(resume=True), runtime=Runtime(batch_tokens=999))
    assert output.read_bytes() == whole.read_bytes()


def test_resume_without_an_earlier_run_begins_at_the_beginning(
    model: Path, data: str, tmp_path: Path
) -> None:
    result = fisher(model, data, tmp_path / "out", keeping=Keeping(resume=True))
    assert result is not None and result.resumed == 0


def test_an_unfinished_run_is_neither_lost_nor_mixed_up(
    model: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            fisher(model, data, output, runtime=SMALL_BATCHES)
    before = checkpoint(output).read_bytes()
    with pytest.raises(OutputExistsError, match="unfinished"):
        fisher(model, data, output)
    with pytest.raises(ArtifactError, match="another run: its data"):
        fisher(model, data, output, max_examples=50, keeping=Keeping(resume=True))
    assert checkpoint(output).read_bytes() == before
    checkpoint(output).write_bytes(before[:-100])
    with pytest.raises(ArtifactError, match="corrupt"):
        fisher(model, data, output, keeping=Keeping(resume=True))
    fisher(model, data, output, runtime=Runtime(force=True))
    assert output.exists() and not checkpoint(output).exists()


def test_an_example_without_a_finite_loss_is_named_and_what_was_computed_is_kept(
    model: Path,
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from speu_cli.tasks.classification import Classification

    output, losses, calls = tmp_path / "out", Classification.losses, iter(range(10_000))

    def broken(self: Classification, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found = losses(self, logits, labels)
        return found * torch.nan if next(calls) == 12 else found

    monkeypatch.setattr(Classification, "losses", broken)
    arguments = ["fisher", str(model), "--data", data, "-o", str(output), "--batch-tokens", "40"]
    assert main(arguments) == 4
    error = capsys.readouterr().err
    assert "the model's loss on example" in error and "is not finite" in error
    named = error.partition("on example ")[2].partition(" is not")[0].split(", ")
    ids = {repr(json.loads(line)["id"]) for line in Path(data).read_text().splitlines()}
    assert set(named) <= ids | {"…"}
    assert checkpoint(output).exists() and not output.exists()


def run(model: Path, data: str, output: Path, *options: str) -> list[str]:
    return [*SPEU, "fisher", str(model), "--data", data, "-o", str(output), "--batch-tokens", "24", *options]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_ended_is_taken_up_with_the_same_bytes(
    model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    data = str(write_rows(tmp_path / "many.jsonl", tiny_rows(900, pairs=True)))
    whole, output = tmp_path / "whole", tmp_path / "out"
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(run(model, data, whole), env=quiet, check=True, capture_output=True, timeout=120)
    command = run(model, data, output, "--checkpoint-every", "0.05")
    process = subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not checkpoint(output).exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL), errors
    if number == signal.SIGTERM:
        assert "go on with --resume" in errors and "terminated" in errors
    assert not output.exists()
    answer = subprocess.run(
        [*command, "--resume", "--json"], env=quiet, check=True, capture_output=True, timeout=120
    )
    assert json.loads(answer.stdout)["resumed"] > 0
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".out")) in (
        [],
        [".out.lock"],
        [".out.checkpoint.lock", ".out.lock"],
    )
