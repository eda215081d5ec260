"""The public commands, one process each, as a user would run them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Json = dict[str, Any]
One = TypeVar("One")
Answer = TypeVar("Answer")

NO_SAFE_STEP = 8
KIBIBYTE = 1024
REFUSED = "refused"


@dataclass(frozen=True)
class Commands:
    """Runs commands in a folder; every one whose answer is there already is skipped."""

    work: Path

    def speu(self, *arguments: str, keep: str) -> Json:
        """Run a command and keep its JSON answer as ``keep.json``.

        Args:
            arguments: The command and its options.
            keep: Name of the answer, unique in the folder.

        Returns:
            ``result``, ``process_seconds`` and ``process_peak_bytes``; in place of the result ``refused``
            where ``speu unlearn`` found no step that forgets and leaves the model whole.
        """
        kept = self.work / f"{keep}.json"
        if not kept.exists():
            temporary = kept.with_suffix(".tmp")
            temporary.write_text(json.dumps(run(arguments)))
            temporary.rename(kept)
        return self.kept(keep)

    def kept(self, keep: str) -> Json:
        """The answer of a command that has run."""
        found: Json = json.loads((self.work / f"{keep}.json").read_text())
        return found


def run(arguments: tuple[str, ...]) -> Json:
    """Run one command, and tell what it answered and what it took.

    Args:
        arguments: The command and its options.

    Returns:
        As :meth:`Commands.speu`.

    Raises:
        CalledProcessError: It failed, and not because there is no safe step.
    """
    started = time.perf_counter()
    command = [sys.executable, "-m", "speu_cli", *arguments, "--json"]
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(command, stdout=answer)
        _, status, usage = os.wait4(process.pid, 0)  # as Popen.wait, and tells the memory of this one process
        process.returncode = os.waitstatus_to_exitcode(status)
        answer.seek(0)
        told = answer.read()
    taken = {
        "process_seconds": time.perf_counter() - started,
        "process_peak_bytes": usage.ru_maxrss * KIBIBYTE,
    }
    if process.returncode == NO_SAFE_STEP:
        return {REFUSED: True, **taken}
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {"result": json.loads(told), **taken}


def at_once(jobs: int, do: Callable[[One], Answer], things: Iterable[One]) -> list[Answer]:
    """Do something for each of some things, several at a time, for most of it is waiting for commands.

    Args:
        jobs: How many at a time.
        do: What.
        things: For which; what one needs of another must be there.

    Returns:
        The answers, in the order of the things.
    """
    if jobs == 1:
        return [do(thing) for thing in things]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(do, things))
