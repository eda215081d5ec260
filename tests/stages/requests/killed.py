"""Whole requests whose process is killed, or whose file operations fail: what is there afterwards.

``killed.py moments MODE FOLDER KILLS`` kills a process that serves a request at random moments;
``killed.py kill MODE FOLDER`` before its first, second, … file operation until it gets through;
``killed.py fail MODE FOLDER`` lets that operation fail for want of space instead. Prints JSON: what was found
after each.
"""

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from serving import begin, home_with_statistics

from speu_cli.checkpoints.write import read_record
from speu_cli.stages.requests.serve import serve_request
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.unlearning.requests.pending import PENDING
from speu_cli.unlearning.requests.state import look_into_state
from tiny import write_ids

# What Python tells its audit hooks of; flushing to the disk is the one operation that it does not.
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
DONE, ALL_THE_SAME, FAILED, SURPRISED = 0, 3, 7, 70


class Workshop:
    """A state with one request served, and another to be served."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder, self.state, self.output = folder, folder / "state", folder / "second"
        home = home_with_statistics(folder / "home")
        begin(home, self.state, mode=mode)
        write_ids(folder / "first.txt", ["row-0-0", "row-0-1"])
        write_ids(folder / "second.txt", ["row-0-2"])
        serve_request(self.state, str(folder / "first.txt"), folder / "first", request_id="R-1")
        shutil.copytree(self.state, folder / "state-before")
        started = time.monotonic()
        self.serve()
        self.seconds = time.monotonic() - started
        self.weights = (self.output / "model.safetensors").read_bytes()
        self.reset()

    def serve(self) -> None:
        serve_request(self.state, str(self.folder / "second.txt"), self.output, request_id="R-2")

    def reset(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / "state-before", self.state)
        shutil.rmtree(self.output, ignore_errors=True)

    def found(self) -> str:
        """Which state it is; a word for whatever it should not be."""
        was_writing = (self.state / PENDING).exists()
        with look_into_state(self.state) as state:
            names, told = [entry.record["id"] for entry in state.requests], state.interrupted
        verified = verify_requests(self.state)
        if verified.wrong or verified.gone:
            return f"broken: {verified.wrong or verified.gone}"
        if names == ["R-1", "R-2"]:
            whole = (self.output / "model.safetensors").read_bytes() == self.weights
            right = told is None or "after it was recorded" in told
            return "after" if whole and right and was_writing == (told is not None) else f"odd: {told}"
        if names != ["R-1"]:
            return f"odd: {names}"
        if was_writing != (told is not None and "before it was recorded" in told):
            return f"odd: {told}"
        return "before" if not self.output.exists() or self._is_whole() else "half-written"

    def _is_whole(self) -> bool:
        record = read_record(self.output) or {}
        model = self.output / "model.safetensors"
        return "request" in record and model.read_bytes() == self.weights

    def leftovers(self) -> list[str]:
        names = {path.name for path in [*self.folder.iterdir(), *self.state.iterdir()]}
        return sorted(name for name in names if name.endswith((".tmp", ".old")))


def watch_operations(folder: Path, act: Callable[[], None]) -> None:
    """Call a function before every operation that changes a file in a folder."""
    busy = False

    def before(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal busy
        changes = event in EVENTS or (event == "open" and int(str(arguments[2] or 0)) & WRITING)
        if busy or not changes or not str(arguments[0]).startswith(str(folder)):
            return
        busy = True
        try:
            act()
        finally:
            busy = False

    flush = os.fsync

    def fsync(descriptor: int) -> None:
        act()
        flush(descriptor)

    sys.addaudithook(before)
    os.fsync = fsync


def start(work: Callable[[], None]) -> int:
    """Run something in a process of its own; it ends with a code that says how."""
    child = os.fork()
    if child == 0:
        code = SURPRISED
        try:
            work()
            code = DONE
        except OSError:
            code = FAILED
        finally:
            os._exit(code)
    return child


def at_operation(shop: Workshop, number: int, act: Callable[[], None]) -> None:
    """Serve the request; when it comes to the given operation, something happens."""
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            act()

    watch_operations(shop.folder, count)
    shop.serve()
    if left <= 0:
        os._exit(ALL_THE_SAME)  # as where a lock file cannot be removed


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def ended(child: int) -> int:
    """How a process ended: its code, or the number of the signal, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_moments(shop: Workshop, kills: int) -> tuple[list[str], list[int]]:
    draw, found, codes = random.Random(0), [], []
    while codes.count(-signal.SIGKILL) < kills:
        child = start(shop.serve)
        time.sleep(draw.uniform(0.0, 1.2 * shop.seconds))
        os.kill(child, signal.SIGKILL)
        codes.append(ended(child))
        found.append(shop.found())
        if found[-1] != "before":
            shop.reset()
    return found, codes


def at_operations(shop: Workshop, act: Callable[[], None]) -> tuple[list[str], list[int]]:
    found, codes = [], []
    for number in range(1, 1000):
        codes.append(ended(start(lambda n=number: at_operation(shop, n, act))))
        found.append(shop.found())
        if codes[-1] == DONE:
            return found, codes
        if found[-1] != "before":
            shop.reset()
    raise RuntimeError("it never got through")


def main() -> None:
    what, mode, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    shop = Workshop(folder, mode)
    if what == "moments":
        found, codes = at_moments(shop, int(sys.argv[4]))
        if found[-1] == "before":
            shop.serve()
    else:
        found, codes = at_operations(shop, {"kill": kill, "fail": fail}[what])
    last = shop.found()
    result = {"found": found, "codes": codes, "last": last, "leftovers": shop.leftovers()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
