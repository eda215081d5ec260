"""A pass that was left, in a file: who may go on with it, and how often it is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speu_cli.artifacts.format import read_artifact
from speu_cli.errors import ArtifactError, OutputExistsError
from speu_cli.progress import Silent
from speu_cli.statistics import kept
from speu_cli.statistics.kept import SHARE, KeptPass, refuse_leftover

RECORD = {"data": "these", "process": [0, 1]}
EVERY = 100.0


class Left(Exception):
    """What ends a run that is asked to end."""


class Wish:
    """To end the run, or not."""

    def __init__(self, *, ends: bool = False) -> None:
        self.ends = ends

    def __bool__(self) -> bool:
        return self.ends

    def act(self) -> None:
        if self.ends:
            raise Left


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


class Clock:
    """A time that passes when it is told to, and while a state is written."""

    def __init__(self) -> None:
        self.now = 0.0
        self.writing = 0.0
        self.written: list[float] = []

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of the module, which tells when something was written."""
    clock, write = Clock(), kept.write_artifact

    def writing(*arguments: Any, **options: Any) -> str:
        clock.written.append(clock.now)
        clock.now += clock.writing
        return write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kept, "time", clock)
        patch.setattr(kept, "write_artifact", writing)
        yield clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.checkpoint"


def state(value: float = 1.0) -> dict[str, Tensor]:
    return {"sums": torch.full((3,), value)}


def keeper(path: Path, **options: Any) -> KeptPass:
    default = {
        "every": EVERY,
        "resume": False,
        "restart": False,
        "ending": Wish(),
        "progress": Silent(),
    }
    return KeptPass(path, options.pop("record", RECORD), **(default | options))


def leave(path: Path, value: float = 1.0) -> None:
    keeper(path).interrupted(lambda: state(value))


def test_a_pass_that_was_left_is_taken_up_if_asked_to(path: Path) -> None:
    leave(path, 7.0)
    loaded = keeper(path, resume=True).load()
    assert loaded is not None
    assert loaded.keys() == {"sums"} and torch.equal(loaded["sums"], state(7.0)["sums"])


def test_without_a_file_the_beginning_is_the_beginning(path: Path) -> None:
    assert keeper(path).load() is None
    assert keeper(path, resume=True).load() is None
    assert not path.exists()


def test_a_pass_that_was_left_is_not_lost_unasked(path: Path) -> None:
    leave(path)
    with pytest.raises(OutputExistsError, match=r"unfinished run is kept in .*out\.checkpoint"):
        keeper(path)
    with pytest.raises(OutputExistsError, match="unfinished"):
        refuse_leftover(path, resume=False, restart=False)
    assert path.exists()


def test_to_begin_again_reads_nothing_of_it_and_replaces_it(path: Path) -> None:
    leave(path, 7.0)
    again = keeper(path, restart=True)
    assert again.load() is None
    again.interrupted(lambda: state(2.0))
    assert torch.equal(read_artifact(path).tensors["sums"], state(2.0)["sums"])


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"data": "others", "process": [0, 1]}, "data"),
        ({"data": "these", "process": [0, 2]}, "process"),
        ({"data": "these", "process": [0, 1], "seed": 1}, "seed"),
    ],
)
def test_another_pass_does_not_go_on_with_it(path: Path, record: dict[str, Any], name: str) -> None:
    leave(path)
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=f"of another run: its {name} (is|are) not the same"):
        keeper(path, record=record, resume=True).load()
    assert path.read_bytes() == before


def test_it_goes_when_the_output_is_there(path: Path) -> None:
    leave(path)
    one = keeper(path, resume=True)
    one.discard()
    assert not path.exists()
    one.discard()  # as where nothing was ever written


def test_it_is_written_when_it_is_time_to(path: Path, clock: Clock) -> None:
    one = keeper(path)
    for clock.now in (0.0, EVERY / 2, EVERY, 1.5 * EVERY, 2.5 * EVERY):
        one.between_batches(state)
    assert clock.written == [EVERY, 2.5 * EVERY]


def test_a_state_that_is_not_written_is_not_made(path: Path, clock: Clock) -> None:
    def never() -> dict[str, Tensor]:
        raise AssertionError("it takes time and memory")

    keeper(path).between_batches(never)
    assert not path.exists()


@pytest.mark.parametrize("writing", [0.1, 20.0, 500.0])
def test_writing_takes_a_small_share_of_the_time(path: Path, clock: Clock, writing: float) -> None:
    one, batch, clock.writing = keeper(path), 1.0, writing
    while len(clock.written) < 4:
        clock.now += batch
        one.between_batches(state)
    begun, ended = clock.written[0] + writing, clock.written[-1] + writing
    assert 3 * writing <= SHARE * (ended - begun)
    # Nor is it written less often than that asks for.
    longest = max(EVERY, writing / SHARE) + batch + writing
    assert max(map(float.__sub__, clock.written[1:], clock.written)) <= longest


def test_a_run_that_is_asked_to_end_is_kept_once_and_left(path: Path, clock: Clock) -> None:
    notes, wish = Notes(), Wish()
    one = keeper(path, ending=wish, progress=notes)
    one.between_batches(state)
    assert not clock.written
    wish.ends = True
    with pytest.raises(Left):
        one.between_batches(lambda: state(3.0))
    one.interrupted(lambda: state(4.0))  # the pass tells of every error, of this one too
    assert len(clock.written) == 1
    assert torch.equal(read_artifact(path).tensors["sums"], state(3.0)["sums"])
    assert notes.lines == [f"what was computed is kept in {path}: go on with --resume"]


def test_a_run_that_an_error_ends_is_kept(path: Path, clock: Clock) -> None:
    notes = Notes()
    keeper(path, progress=notes).interrupted(lambda: state(5.0))
    assert torch.equal(read_artifact(path).tensors["sums"], state(5.0)["sums"])
    assert len(notes.lines) == 1
