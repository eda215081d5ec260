"""A state is for one run at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from speu_cli.errors import LockedError

LOCK, HOLDER = "state.lock", "state.holder"
MAX_HOLDER = 200


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a state, and say who holds it.

    Args:
        folder: The state.

    Yields:
        Nothing.

    Raises:
        LockedError: Another run holds it.
    """
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        message = f"another run is using the state {folder}{_holder(folder)}"
        raise LockedError(message, hint="wait for it") from error
    try:
        # Where that cannot be written, nobody is told.
        with suppress(OSError):
            (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    """Who holds a state, as part of a sentence."""
    try:
        holder = (folder / HOLDER).read_bytes()[:MAX_HOLDER].decode(errors="replace")
    except OSError:
        return ""
    return f": {holder}" if holder.isprintable() and holder else ""
