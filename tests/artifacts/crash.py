"""Writers that are killed. A script without heavy imports, so that hundreds of them cost little.

``crash.py moments KIND TARGET ROUNDS`` kills a writer at random moments, ``crash.py calls KIND TARGET``
before the first, second, … system call that matters, until one gets through. Both print as JSON what
was found after each kill.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_file, atomic_folder

BLOCK = 2**16
CALLS = ("fsync", "chmod", "replace", "rename")


def write_file(target: Path, letter: bytes) -> None:
    with atomic_file(target, force=True) as path, path.open("wb") as file:
        for _ in range(8):
            file.write(letter * BLOCK)
            file.flush()


def write_folder(target: Path, letter: bytes) -> None:
    with atomic_folder(target, force=True) as folder:
        for name in ("first", "second"):
            (folder / name).write_bytes(letter * BLOCK)
        (folder / f"only-{letter.decode()}").touch()


def found_file(target: Path) -> str:
    content = target.read_bytes()
    return content[:1].decode() if content == content[:1] * 8 * BLOCK else "torn"


def found_folder(target: Path) -> str:
    if not target.exists():
        return "absent"
    letter = (target / "first").read_bytes()[:1]
    whole = {"first": letter * BLOCK, "second": letter * BLOCK, f"only-{letter.decode()}": b""}
    files = {path.name: path.read_bytes() for path in target.iterdir()}
    return letter.decode() if files == whole else "torn"


WRITERS: dict[str, tuple[Callable[[Path, bytes], None], Callable[[Path], str]]] = {
    "file": (write_file, found_file),
    "folder": (write_folder, found_folder),
}


def start(work: Callable[[], object]) -> int:
    """Run something in a child process."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def survived(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


def killed_before_call(work: Callable[[], object], number: int) -> None:
    """Do the work, but die before the given call."""
    left = number

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def dying(*args: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args)

        return dying

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    work()


def leftovers(target: Path) -> list[str]:
    return sorted(
        path.name
        for path in target.parent.iterdir()
        if path != target and path.name != f".{target.name}.lock"
    )


def main() -> None:
    mode, kind, target = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    write, found = WRITERS[kind]
    started = time.monotonic()
    write(target, b"a")
    one_write = time.monotonic() - started
    after_kill, hidden = [], 0

    def forever() -> None:
        while True:
            write(target, b"b")
            write(target, b"a")

    if mode == "moments":
        draw = random.Random(0)
        for _ in range(int(sys.argv[4])):
            child = start(forever)
            time.sleep(draw.uniform(0.0, 3 * one_write))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            after_kill.append(found(target))
            hidden += bool(leftovers(target))
    else:
        number = 1
        while True:
            write(target, b"a")
            count = number
            whole = survived(start(lambda n=count: killed_before_call(lambda: write(target, b"b"), n)))
            after_kill.append(found(target))
            hidden += bool(leftovers(target))
            if whole:
                break
            number += 1
    write(target, b"c")
    print(
        json.dumps(
            {
                "after_kill": after_kill,
                "hidden": hidden,
                "last": found(target),
                "leftovers": leftovers(target),
            }
        )
    )


if __name__ == "__main__":
    main()
