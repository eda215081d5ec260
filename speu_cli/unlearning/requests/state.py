"""A state: the folder that requests to one model are served from, one after the other."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from speu_cli.artifacts.atomic import atomic_folder
from speu_cli.artifacts.digest import hash_text
from speu_cli.errors import ArtifactError, InputError, LockedError
from speu_cli.unlearning.requests.ledger import Entry, Ledger, create_ledger, read_ledger
from speu_cli.unlearning.requests.pending import Pending, end, read_pending
from speu_cli.unlearning.requests.salt import Salt, create_salt, read_salt

FORMAT_VERSION = 1
SETTINGS, SALT, LEDGER = "state.json", "salt", "ledger.jsonl"
MASK, WATCHED = "mask.safetensors", "watched.safetensors"
LOCK = "state.lock"
MAX_SETTINGS = 2**20

Mode = Literal["aided", "free"]


@dataclass(frozen=True)
class StateSettings:
    """What is settled when a state is made, and never changes.

    Attributes:
        model: Folder of θ*.
        identity: Who θ* is, as JSON values.
        fisher: Its statistics file.
        statistics: Digest of that.
        data: The training set.
        split: Which split of it, if it has several.
        examples: n_D.
        holdout: Examples never trained on whose losses are watched, if there are any.
        mode: ``aided``: all at θ*, with the sums of the forgotten; ``free``: each from the last model.
        max_examples: With ``free``, most remaining examples that statistics are computed of; None: all.
        method: Method, mask and step, as JSON values.
        retrain_when: Thresholds at which the model is to be retrained.
        salt: Fingerprint of the salt.
        continues: Head of the ledger that this one follows, after a retraining.
    """

    model: str
    identity: Mapping[str, str]
    fisher: str
    statistics: str
    data: str
    split: str | None
    examples: int
    holdout: str | None
    mode: Mode
    max_examples: int | None
    method: Mapping[str, Any]
    retrain_when: Sequence[str]
    salt: str
    continues: str | None

    def text(self) -> str:
        """The file that holds them."""
        fields = {"format": "speu-state", "version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(fields, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """Names them in the ledger."""
        return hash_text(self.text())


@dataclass(frozen=True)
class State:
    """An open state.

    Attributes:
        folder: Where it is.
        settings: What never changes.
        ledger: What was done.
        salt: Of the ids in the ledger.
        interrupted: What became of a request whose run was killed; None if none was.
    """

    folder: Path
    settings: StateSettings
    ledger: Ledger
    salt: Salt
    interrupted: str | None = None

    @cached_property
    def requests(self) -> list[Entry]:
        """The served requests, in order."""
        return [entry for entry in self.ledger.entries if entry.record.get("kind") == "request"]

    @cached_property
    def forgotten(self) -> frozenset[str]:
        """Salted hashes of the ids forgotten so far."""
        return frozenset(one for entry in self.requests for one in entry.record["forget"]["ids"])

    @property
    def last_model(self) -> Mapping[str, str]:
        """Who the model after the last request is; θ* before any."""
        model: Mapping[str, str] = (
            self.requests[-1].record["model_after"] if self.requests else self.settings.identity
        )
        return model

    def sums(self, number: int) -> Path:
        """The file of the sums over all examples forgotten by the entry with this number."""
        return self.folder / f"forgotten-{number:06d}.safetensors"


@contextmanager
def new_state(folder: Path) -> Iterator[tuple[Path, Salt]]:
    """Make a state, as a whole or not at all.

    Args:
        folder: To be made.

    Yields:
        The unfinished folder, to be given to :func:`settle`, and the salt in it.
    """
    with atomic_folder(folder, private=(SALT,)) as unfinished:
        yield unfinished, create_salt(unfinished / SALT)


def settle(unfinished: Path, settings: StateSettings, *, mask: str | None, watched: str) -> None:
    """Write the settings of a new state, and open its ledger with them.

    Args:
        unfinished: From :func:`new_state`.
        settings: What never changes.
        mask: Digest of the mask that requests start from, if there is one.
        watched: Digest of what is watched.
    """
    (unfinished / SETTINGS).write_text(settings.text(), encoding="utf-8")
    named = {"settings": settings.digest, "mask": mask, "watched": watched, "continues": settings.continues}
    create_ledger(unfinished / LEDGER).append({"kind": "start", **named, "model": settings.identity})


@contextmanager
def open_state(folder: Path) -> Iterator[State]:
    """Open a state for one run alone, everything in it verified.

    Args:
        folder: The state.

    Yields:
        It.

    Raises:
        LockedError: Another run holds it.
    """
    settings = read_settings(folder)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(f"another run is using the state {folder}", hint="wait for it") from error
    with lock:
        pending = read_pending(folder)
        state = _opened(folder, settings, pending)
        if pending is not None and pending.head != state.ledger.head:
            end(folder)  # it is done, and told once
        yield state


@contextmanager
def look_into_state(folder: Path) -> Iterator[State]:
    """Open a state to read it; one that cannot be written to needs no lock, for nobody writes to it.

    Args:
        folder: The state.

    Yields:
        It, everything in it verified.
    """
    if os.access(folder, os.W_OK):
        with open_state(folder) as state:
            yield state
    else:
        yield _opened(folder, read_settings(folder), read_pending(folder))


def read_settings(folder: Path) -> StateSettings:
    """Read what a state was made with.

    Args:
        folder: The state.

    Returns:
        The settings.

    Raises:
        InputError: There is no state.
        ArtifactError: They are not readable, or of another version.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise InputError(f"{folder} is not a state of requests", hint="make one with 'speu requests init'")
    with path.open("rb") as file:
        content = file.read(MAX_SETTINGS)
    try:
        fields = dict(json.loads(content))
        kind, version = fields.pop("format"), fields.pop("version")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not readable: {error}") from error
    if kind != "speu-state" or version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} is {str(kind)[:20]!r} version {str(version)[:20]}, this speu reads 'speu-state' "
            f"version {FORMAT_VERSION}",
            hint="use the speu that wrote it",
        )
    try:
        settings = StateSettings(**fields)
        # Byte for byte: no type in it can be another one than was written.
        intact = settings.text().encode() == content
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not complete: {error}") from error
    if not intact:
        raise ArtifactError(f"{path} is not what was written: it was changed")
    return settings


def _opened(folder: Path, settings: StateSettings, pending: Pending | None) -> State:
    """Read the rest of a state, and refuse what does not fit together.

    Args:
        folder: The state.
        settings: Its settings.
        pending: The request that was being written when a run ended.

    Returns:
        The state.

    Raises:
        ArtifactError: The settings or the salt are not those that the ledger begins with.
    """
    ledger, salt = read_ledger(folder / LEDGER), read_salt(folder / SALT)
    begins = ledger.entries[0].record if ledger.entries else {}
    if begins.get("settings") != settings.digest:
        raise ArtifactError(
            f"{folder / SETTINGS} is not what {LEDGER} begins with: it was changed",
            hint="restore it from a copy, or make a new state from the retrained model",
        )
    if salt.fingerprint != settings.salt:
        raise ArtifactError(f"{folder / SALT} is not the salt of this state", hint="put back the right one")
    return State(folder, settings, ledger, salt, pending.told(ledger) if pending else None)
