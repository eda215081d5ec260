"""A pass that was left, in a file: a later process takes it up and ends with the same bits."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from speu_cli.artifacts.format import Record, read_artifact, write_artifact
from speu_cli.errors import ArtifactError, OutputExistsError
from speu_cli.progress import Progress
from speu_cli.wording import is_or_are

KIND = "checkpoint"
# Writing may take this share of the time: a large state is written less often.
SHARE = 0.05

State = Callable[[], dict[str, Tensor]]


class Ending(Protocol):
    """A wish to end the run, such as a signal; true once there is one."""

    def __bool__(self) -> bool: ...

    def act(self) -> None:
        """End the run, if it is wished."""
        ...


class KeptPass:
    """Keeps a pass in a file beside its output.

    Args:
        path: The file.
        record: What the pass computes from what, as JSON values: another pass does not go on with it.
        every: Seconds between two writings.
        resume: Go on from the file, if it is there.
        restart: Without ``resume``, a file that is there may be replaced.
        ending: Whether the run is asked to end.
        progress: Is told what is kept.

    Raises:
        OutputExistsError: A file is there, and neither ``resume`` nor ``restart`` was given.
    """

    def __init__(
        self,
        path: Path,
        record: Record,
        *,
        every: float,
        resume: bool,
        restart: bool,
        ending: Ending,
        progress: Progress,
    ) -> None:
        refuse_leftover(path, resume=resume, restart=restart)
        self._path, self._record, self._resume = path, record, resume
        self._every, self._next = every, time.monotonic() + every
        self._ending, self._progress = ending, progress
        self._left = False

    def load(self) -> dict[str, Tensor] | None:
        """The state to go on from.

        Returns:
            It; None to begin at the beginning.

        Raises:
            ArtifactError: It is of another pass.
        """
        if not (self._resume and self._path.exists()):
            return None
        artifact = read_artifact(self._path, KIND)
        for name, value in self._record.items():
            if artifact.record.get(name) != value:
                raise ArtifactError(
                    f"{self._path} is of another run: its {name} {is_or_are(name)} not the same",
                    hint="run with the options it was written with, or begin again with --force",
                )
        return artifact.tensors

    def between_batches(self, state: State) -> None:
        """Write the state if it is time to; leave the run if it is asked to end."""
        if self._ending:
            self.interrupted(state)
            self._left = True
            self._ending.act()
        elif time.monotonic() >= self._next:
            self._write(state)

    def interrupted(self, state: State) -> None:
        """Write the state of a run that is about to end, and say how to go on."""
        if self._left:
            return
        self._write(state)
        self._progress.note(f"what was computed is kept in {self._path}: go on with --resume")

    def discard(self) -> None:
        """Remove the file: the output is there."""
        self._path.unlink(missing_ok=True)

    def _write(self, state: State) -> None:
        started = time.monotonic()
        write_artifact(self._path, KIND, self._record, state(), force=True)
        ended = time.monotonic()
        self._next = ended + max(self._every, (ended - started) / SHARE)


def refuse_leftover(path: Path, *, resume: bool, restart: bool) -> None:
    """Refuse to begin again where a pass was left.

    Args:
        path: The file of the pass.
        resume: It is to be gone on with.
        restart: It may be lost.

    Raises:
        OutputExistsError: It is there, and neither was said.
    """
    if path.exists() and not resume and not restart:
        raise OutputExistsError(
            f"an unfinished run is kept in {path}",
            hint="go on with it with --resume, or begin again with --force",
        )
