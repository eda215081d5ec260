"""A full disk, a folder that cannot be written, a model that is gone, two at once, a clock that goes back."""

import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving import begin, request

from memorised import Home, snapshot
from speu_cli.cli.failures import failure_of
from speu_cli.errors import InputError, LockedError
from speu_cli.stages.requests import serve
from speu_cli.stages.requests.listing import list_requests
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.unlearning.requests.pending import Pending
from speu_cli.unlearning.requests.pending import begin as begin_pending
from speu_cli.unlearning.requests.state import open_state
from tiny import write_ids

OUT_OF_RESOURCES = 7


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond this, as where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("size", [0, 100, 1500, 20_000, 60_000])
def test_a_disk_that_is_full(home: Home, tmp_path: Path, size: int) -> None:
    """Ledger, records, weights and sums are of 3, 2, 28 and 76 kB: each is the first not to fit once."""
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "first")
    before = {name: content for name, content in snapshot(state).items() if name != "pending.json"}
    write_ids(tmp_path / "asked.txt", ["row-0-1"])
    with largest_file(size), pytest.raises(Exception) as raised:
        serve.serve_request(state, str(tmp_path / "asked.txt"), tmp_path / "second")
    failure = failure_of(raised.value)
    assert failure.code == OUT_OF_RESOURCES, raised.value
    after = snapshot(state)
    assert {name: content for name, content in after.items() if name != "pending.json"} == before
    assert verify_requests(state).wrong == verify_requests(state).gone == []
    assert request(state, ["row-0-1"], "second").forgotten_in_all == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", ["state", "."])
def test_a_folder_that_cannot_be_written(home: Home, tmp_path: Path, name: str) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "first")
    (tmp_path / "asked.txt").write_text("row-0-1")
    place = tmp_path / name
    place.chmod(0o500)
    try:
        with pytest.raises(Exception) as raised:
            serve.serve_request(state, str(tmp_path / "asked.txt"), tmp_path / "second")
        assert failure_of(raised.value).code == OUT_OF_RESOURCES
        assert len(list_requests(state).requests) == 1
        assert verify_requests(state).wrong == []
    finally:
        place.chmod(0o700)


def test_a_state_that_cannot_be_written_is_read_without_a_lock(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "first")
    (state / "state.lock").unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(list_requests(state).requests) == 1
    assert verify_requests(state).wrong == []
    assert not (state / "state.lock").exists()


@pytest.mark.parametrize(
    ("what", "says"), [("model", "model folder not found"), ("fisher.safetensors", "file")]
)
def test_what_the_state_starts_from_is_gone(home: Home, tmp_path: Path, what: str, says: str) -> None:
    shutil.copytree(home.folder, tmp_path / "home")
    own = Home(tmp_path / "home", home.family, home.outputs)
    state = begin(own, tmp_path / "state")
    moved = own.folder / "moved"
    (own.folder / what).rename(moved)
    with pytest.raises(InputError, match=says):
        request(state, ["row-0-0"], "model")
    assert len(verify_requests(state).wrong) == 1
    moved.rename(own.folder / what)
    assert request(state, ["row-0-0"], "model").forgotten_in_all == 1


def test_two_at_once(home: Home, tmp_path: Path) -> None:
    """The one that comes second is told; nothing of it is written."""
    state = begin(home, tmp_path / "state")
    holder = multiprocessing.get_context("fork").Process(target=_hold, args=(state, tmp_path / "held"))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    try:
        with pytest.raises(LockedError, match=f"another run is using the state .*: process {holder.pid} on"):
            request(state, ["row-0-0"], "model")
        with pytest.raises(LockedError):
            list_requests(state)
    finally:
        holder.kill()
        holder.join()
    assert not (tmp_path / "model").exists()
    assert request(state, ["row-0-0"], "model").number == 1  # a lock dies with its process


def _hold(state: Path, held: Path) -> None:
    with open_state(state):
        held.touch()
        time.sleep(600)


def test_a_clock_that_goes_backwards_is_told_and_does_not_matter(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "first", request_id="R-1")

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=400)

    monkeypatch.setattr(serve, "datetime", Earlier)
    second = request(state, ["row-0-1"], "second", request_id="R-2")
    assert second.forgotten_in_all == 2
    assert any("it went backwards" in note for note in second.notes)
    verified = verify_requests(state)
    assert verified.wrong == []
    assert ["R-2 says", "clock went backwards"] == [
        words for words in ("R-2 says", "clock went backwards") if words in verified.notes[0]
    ]


@pytest.mark.parametrize(("recorded", "says"), [(False, "before it was recorded"), (True, "it is done")])
def test_the_next_command_tells_what_became_of_an_interrupted_request(
    home: Home, tmp_path: Path, recorded: bool, says: str
) -> None:
    state = begin(home, tmp_path / "state")
    with open_state(state) as opened:
        head = opened.ledger.head
    if recorded:
        request(state, ["row-0-0"], "model", request_id="R-1")
    begin_pending(state, Pending("R-1", head, "model"))
    told = list_requests(state).interrupted
    assert told is not None and says in told
    # What is not done is told until it is, or another request is.
    assert (list_requests(state).interrupted is None) == recorded
    result = request(state, ["row-0-0"], "model", request_id="R-1")
    assert any(says in note for note in result.notes) != recorded
    assert list_requests(state).interrupted is None
