"""``speu fisher`` in several processes: one file out, one voice, and nothing lost when one of them is.

What needs torchrun itself is run by it; the rest is run in groups of forks, which are there at once.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from filelock import FileLock
from transformers import BertForSequenceClassification

from forks import Ended, Speu, run_group
from speu_cli import OutputExistsError, fisher
from speu_cli.artifacts.format import read_artifact
from speu_cli.cli.main import main
from speu_cli.stages.fisher import Keeping
from speu_cli.stages.runtime import Runtime
from speu_cli.statistics.files import read_statistics
from speu_cli.statistics.parallel import EndedElsewhereError, Group
from tiny import tiny_checkpoint, tiny_rows, tiny_tokenizer, write_rows

SINGLE = 1e-5
SIZE = 2
ROWS, UNSEEN = 500, 9
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(SIZE), "-m", "speu_cli"]
OFTEN = ("--checkpoint-every", "0.01")
RARE = "word59"


@dataclass(frozen=True)
class Home:
    """A model and its examples."""

    folder: Path
    model: Path
    data: Path
    holdout: Path

    def command(self, output: Path, *options: str) -> tuple[str, ...]:
        """In small batches, so that there are many."""
        batches = () if "--batch-tokens" in options else ("--batch-tokens", "24")
        of_holdout = () if "--holdout" in options else ("--holdout", str(self.holdout))
        return (
            *("fisher", str(self.model), "--data", str(self.data), "-o", str(output)),
            *(*of_holdout, *batches, *options),
        )


@pytest.fixture(autouse=True)
def without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("home"))


def make_home(folder: Path, rows: int = ROWS, seed: int = 0) -> Home:
    return Home(
        folder,
        tiny_checkpoint(folder / "model", seed=seed),
        write_rows(folder / "rows.jsonl", tiny_rows(rows, pairs=True)),
        write_rows(folder / "unseen.jsonl", tiny_rows(UNSEEN, seed=1, pairs=True)),
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("small"), rows=20)


@pytest.fixture(scope="module")
def alone(home: Home) -> Path:
    """The file of one process."""
    output = home.folder / "alone"
    fisher(home.model, str(home.data), output, holdout=str(home.holdout), runtime=Runtime(batch_tokens=24))
    return output


@dataclass(frozen=True)
class Unbroken:
    """A run of two processes."""

    output: Path
    ended: Ended


@pytest.fixture(scope="module")
def unbroken(home: Home) -> Unbroken:
    output = home.folder / "unbroken"
    return Unbroken(output, speu(home.folder / "streams", home.command(output, "--json")))


def speu(streams: Path, *commands: tuple[str, ...]) -> Ended:
    """Run a command line in all processes, or in each its own."""
    each = commands if len(commands) > 1 else commands * SIZE
    return run_group(streams, *map(Speu, each))


def kept(output: Path) -> list[Path]:
    return [output.with_name(f"{output.name}.checkpoint-{number}-of-{SIZE}") for number in (1, 2)]


def assert_same_sums(one: Path, other: Path) -> None:
    """Sums and losses up to rounding, relative to the largest of their kind; all else exactly."""
    mine, theirs = read_artifact(one, "statistics"), read_artifact(other, "statistics")
    assert {**mine.record, "sha256": None} == {**theirs.record, "sha256": None}
    assert mine.tensors.keys() == theirs.tensors.keys()
    for part in {name.partition("/")[0] for name in mine.tensors}:
        names = [name for name in mine.tensors if name.partition("/")[0] == part]
        if not mine.tensors[names[0]].is_floating_point():
            assert all(torch.equal(mine.tensors[name], theirs.tensors[name]) for name in names)
            continue
        largest = max(float(theirs.tensors[name].abs().max()) for name in names)
        assert largest > 0
        for name in names:
            assert float((mine.tensors[name] - theirs.tensors[name]).abs().max()) < SINGLE * largest


def test_processes_write_the_file_of_one(alone: Path, unbroken: Unbroken) -> None:
    assert unbroken.ended.codes == [0, 0]
    assert_same_sums(unbroken.output, alone)
    assert not any(path.exists() for path in kept(unbroken.output))


def test_the_first_process_alone_prints(unbroken: Unbroken) -> None:
    assert unbroken.ended.outputs[1] == ""
    (line,) = unbroken.ended.outputs[0].splitlines()
    result = json.loads(line)
    assert (result["processes"], result["used"], result["examples"]) == (SIZE, ROWS, ROWS)
    assert result["holdout_examples"] == UNSEEN
    assert result["sha256"] == read_artifact(unbroken.output).digest
    losses = read_statistics(unbroken.output).holdout_losses
    assert result["unseen_loss"] == pytest.approx(float(losses.mean()), rel=SINGLE)


def test_the_first_process_alone_reports_progress(small: Home, tmp_path: Path) -> None:
    command = small.command(tmp_path / "out", "--batch-tokens", "auto", "--verbose")
    ended = speu(tmp_path / "streams", command)
    assert ended.codes == [0, 0]
    assert re.search(r"speu: batches of \d+ tokens", ended.errors[0])
    assert "peak memory" in ended.errors[0]
    assert ended.errors[1] == ""


def test_an_output_that_is_there_is_refused_by_one(small: Home, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("mine")
    ended = speu(tmp_path / "streams", small.command(output))
    assert ended.codes == [OutputExistsError.exit_code] * SIZE
    assert [line for line in ended.told if "error" in line] == [f"speu: error: output exists: {output}"]
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("model", ()),
        ("data", ()),
        ("data", ("--holdout",)),
        ("options", ("--scope", "all")),
    ],
    ids=["model", "data", "holdout", "options"],
)
def test_processes_at_different_runs_are_refused(
    small: Home, tmp_path: Path, what: str, options: tuple[str, ...]
) -> None:
    other = small
    if what == "model":
        other = Home(tmp_path, tiny_checkpoint(tmp_path / "model", seed=5), small.data, small.holdout)
    elif what == "data":
        rows = write_rows(tmp_path / "rows.jsonl", tiny_rows(20, seed=3, pairs=True))
        options = ("--holdout", str(rows)) if options else ("--data", str(rows))
    output = tmp_path / "out"
    ended = speu(tmp_path / "streams", small.command(output), other.command(output, *options))
    assert ended.codes == [4, 4]
    (line,) = [line for line in ended.told if "error" in line]
    assert line == f"speu: error: process 2 of 2 (rank 1) found other {what} than process 1"
    assert not output.exists()


def test_an_example_without_a_finite_loss_is_named_once(tmp_path: Path) -> None:
    home = make_home(tmp_path, rows=0)
    rows = [row for row in tiny_rows(40, pairs=True) if RARE not in row["text"] + row["text_pair"]]
    rows[7]["text"] += f" {RARE} and much more of it"
    write_rows(home.data, rows)
    model = BertForSequenceClassification.from_pretrained(home.model)
    with torch.no_grad():
        rare = tiny_tokenizer("bert").convert_tokens_to_ids(RARE)
        model.bert.embeddings.word_embeddings.weight[rare] = torch.finfo(torch.float32).max / 2
    model.save_pretrained(home.model)
    ended = speu(tmp_path / "streams", home.command(tmp_path / "out", *OFTEN))
    assert sorted(code or 0 for code in ended.codes) == [4, 7]
    (line,) = [line for line in ended.told if "error" in line]
    assert line.startswith(f"speu: error: the model's loss on example {rows[7]['id']!r} is not finite")
    assert not (tmp_path / "out").exists()


def test_shards_are_computed_in_processes_too(home: Home, alone: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"shard-{index}" for index in (1, 2)]
    for index, path in enumerate(paths, start=1):
        ended = speu(tmp_path / f"streams-{index}", home.command(path, "--shard", f"{index}/2"))
        assert ended.codes == [0, 0]
    assert main(["merge", *map(str, paths), "-o", str(tmp_path / "whole")]) == 0
    assert_same_sums(tmp_path / "whole", alone)


def test_what_others_kept_is_there_until_the_result_is(
    home: Home, unbroken: Unbroken, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with FileLock(tmp_path / ".out.lock"):  # as if another run were writing it
        ended = speu(tmp_path / "streams", home.command(output, *OFTEN))
    assert ended.codes == [6, 7]
    assert [line for line in ended.told if "error" in line] == [
        f"speu: error: another run is writing {output.resolve()}"
    ]
    assert all(path.exists() for path in kept(output)) and not output.exists()
    ended = speu(tmp_path / "streams", home.command(output, *OFTEN))
    assert ended.codes == [5, 5]
    (line,) = [line for line in ended.told if "error" in line]
    assert line.startswith("speu: error: an unfinished run is kept in ")
    ended = speu(tmp_path / "streams", home.command(output, *OFTEN, "--resume"))
    assert ended.codes == [0, 0]
    assert output.read_bytes() == unbroken.output.read_bytes()


def test_a_run_of_other_processes_is_not_taken_for_none(small: Home, tmp_path: Path) -> None:
    output = tmp_path / "out"
    left = output.with_name("out.checkpoint-3-of-3")
    left.write_bytes(b"kept")
    with pytest.raises(OutputExistsError, match="of another number of processes than 1"):
        fisher(small.model, str(small.data), output, keeping=Keeping(resume=True))
    assert left.exists() and not output.exists()
    fisher(small.model, str(small.data), output, runtime=Runtime(force=True))
    assert output.exists() and not left.exists()


def test_a_signal_that_ended_the_others_ends_the_one_that_waits(
    small: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[int] = []

    def ended_elsewhere(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert not came  # it waits, as within a sum it has to
        raise EndedElsewhereError("process 2 ended before the others")

    class Asked(Exception):
        pass

    def handler(number: int, _: object) -> None:
        came.append(number)
        raise Asked

    monkeypatch.setattr(Group, "sum", ended_elsewhere)
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Asked):
            fisher(small.model, str(small.data), tmp_path / "out")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_a_missing_device_is_told_once(small: Home, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    ended = speu(tmp_path / "streams", small.command(tmp_path / "out", "--device", "cuda"))
    assert ended.codes == [7, 7]
    assert len([line for line in ended.told if "error" in line]) == 1
    assert "is not available here" in "".join(ended.errors)


def test_half_an_environment_is_one_line(
    small: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(small.command(tmp_path / "out")) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("speu: error: WORLD_SIZE is set, but: ") and "RANK" in error
    assert hint.startswith("hint: start several processes with torchrun")


def test_other_processes_than_the_first_leave_a_wrong_command_line_to_it(small: Home, tmp_path: Path) -> None:
    command = small.command(tmp_path / "out", "--only", "mask", "--scope", "all")
    process = subprocess.run(
        [sys.executable, "-m", "speu_cli", *command],
        env={**os.environ, "WORLD_SIZE": "2", "RANK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (process.returncode, process.stdout, process.stderr) == (2, "", "")


@contextmanager
def torchrun(command: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """Start torchrun; what it has started ends with it."""
    process = subprocess.Popen(
        [*TORCHRUN, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        for one in psutil.Process(process.pid).children() if process.poll() is None else []:
            one.kill()
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def changed(path: Path, before: bytes) -> bool:
    return path.read_bytes() != before


def worker(process: subprocess.Popen[str], rank: int) -> psutil.Process:
    (found,) = [
        one for one in psutil.Process(process.pid).children() if one.environ().get("RANK") == str(rank)
    ]
    return found


def test_torchrun_ended_in_two_ways_and_taken_up_gives_the_same_bytes(
    home: Home, unbroken: Unbroken, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = home.command(output, *OFTEN, "--json")
    with torchrun(command) as process:
        wait_until(lambda: all(path.exists() for path in kept(output)), process)
        worker(process, 1).kill()
        out, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and out == ""
    cause = errors.partition("Root Cause")[2]
    assert re.search(r"rank +: 1 ", cause) and "SIGKILL" in cause
    assert errors.count("speu: error:") == 1
    assert not output.exists()

    before = [path.read_bytes() for path in kept(output)]
    with torchrun((*command, "--resume")) as process:
        wait_until(lambda: all(map(changed, kept(output), before)), process)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and out == ""
    assert errors.count("go on with --resume") == 1
    assert errors.count("speu: error: terminated") == errors.count("speu: error:") == 1
    assert all(path.exists() for path in kept(output)) and not output.exists()

    with torchrun((*command, "--resume")) as process:
        out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    (line,) = out.splitlines()
    assert json.loads(line)["processes"] == SIZE and json.loads(line)["resumed"] > 0
    assert output.read_bytes() == unbroken.output.read_bytes()
    assert not any(path.exists() for path in kept(output))
