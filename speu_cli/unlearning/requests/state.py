"""A state: the folder that requests to one model are served from, one after the other."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_folder
from speu_cli.errors import ArtifactError
from speu_cli.unlearning.requests.held import held
from speu_cli.unlearning.requests.ledger import (
    BrokenLedgerError,
    Entry,
    Ledger,
    Record,
    create_ledger,
    read_ledger,
)
from speu_cli.unlearning.requests.pending import Pending, end, read_pending
from speu_cli.unlearning.requests.salt import Salt, create_salt, read_salt
from speu_cli.unlearning.requests.settled import SETTINGS, StateSettings, read_settings

SALT, LEDGER = "salt", "ledger.jsonl"
MASK, WATCHED = "mask.safetensors", "watched.safetensors"
# What the entry of every request has.
FIELDS = {
    *("id", "time", "forget", "in_all", "remaining", "counted", "mode", "method", "mask", "step", "rate"),
    *("model_before", "model_after", "loss_before", "loss_after", "selected", "parameters_changed"),
    *("capacity", "retrain", "inputs", "versions", "output", "mask_file", "sums"),
}


@dataclass(frozen=True)
class State:
    """An open state.

    Attributes:
        folder: Where it is.
        settings: What never changes.
        ledger: What was done.
        salt: Of the ids in the ledger.
        names: The served requests, by their names.
        forgotten: Salted hashes of the ids forgotten so far.
        interrupted: What became of a request whose run was killed; None if none was.
    """

    folder: Path
    settings: StateSettings
    ledger: Ledger
    salt: Salt
    names: Mapping[str, Entry]
    forgotten: frozenset[str]
    interrupted: str | None

    @property
    def requests(self) -> Sequence[Entry]:
        """The served requests, in order."""
        return self.ledger.entries[1:]

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
    """
    settings = read_settings(folder)
    with held(folder):
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
    names: dict[str, Entry] = {}
    forgotten: set[str] = set()

    def note(entry: Entry, record: Record) -> None:
        if entry.number == 0:
            return  # the start
        if record.get("kind") != "request" or FIELDS - record.keys():
            raise BrokenLedgerError(folder / LEDGER, entry.number + 1, "is not a request that was served")
        names[record["id"]] = entry
        forgotten.update(record["forget"]["ids"])

    ledger, salt = read_ledger(folder / LEDGER, note), read_salt(folder / SALT)
    begins = ledger.entries[0].record if ledger.entries else {}
    if begins.get("settings") != settings.digest:
        raise ArtifactError(
            f"{folder / SETTINGS} is not what {LEDGER} begins with: it was changed",
            hint="restore it from a copy, or make a new state from the retrained model",
        )
    if salt.fingerprint != settings.salt:
        raise ArtifactError(f"{folder / SALT} is not the salt of this state", hint="put back the right one")
    told = pending.told(ledger) if pending else None
    return State(folder, settings, ledger, salt, names, frozenset(forgotten), told)
