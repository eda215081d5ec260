"""The ledger: what was done, one line of JSON an entry, each chained to the one before by its hash.

It only grows. An entry counts once its line is whole, with the line break: what a killed run left behind the
last line break never happened, and goes when the next entry is appended.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.errors import ArtifactError, InputError

FORMAT_VERSION = 1
NOTHING_BEFORE = "0" * 64
MAX_LINE = 256 * 2**20
OWN_FIELDS = {"format", "version", "number", "previous", "sha256"}

Record = Mapping[str, Any]


class BrokenLedgerError(ArtifactError):
    """The ledger is not what was written."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(
            f"{path}, line {line}: {why}", hint="restore it from a copy: what it says can no longer be proven"
        )


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; what it says is read when it is asked for, for there may be thousands.

    Attributes:
        number: From 0.
        previous: Hash of the entry before; zeros for the first.
        sha256: Hash of the line without it.
        line: With its line break.
    """

    number: int
    previous: str
    sha256: str
    line: bytes

    @property
    def record(self) -> Record:
        """What was done, as JSON values."""
        return _without_chain(json.loads(self.line))


@dataclass(frozen=True)
class Ledger:
    """A verified ledger.

    Attributes:
        path: Its file.
        entries: In order.
        end: Bytes of whole lines.
        torn: Bytes behind them, of an entry that was never completed.
    """

    path: Path
    entries: Sequence[Entry]
    end: int
    torn: int

    @property
    def head(self) -> str:
        """Hash of the last entry, which stands for all of them."""
        return self.entries[-1].sha256 if self.entries else NOTHING_BEFORE

    def append(self, record: Record) -> "Ledger":
        """Append an entry, and flush it to the disk; on failure the file is as it was.

        Args:
            record: JSON values, without the fields that chain entries.

        Returns:
            The ledger with the entry.

        Raises:
            ValueError: The record has a field of the chain's, or is too long.
        """
        if reserved := OWN_FIELDS & record.keys():
            raise ValueError(f"the chain's own fields: {sorted(reserved)}")
        number, previous = len(self.entries), self.head
        fields = {"format": "speu-ledger", "version": FORMAT_VERSION, "number": number, "previous": previous}
        fields |= record
        sha256 = hash_text(canonical_json(fields))
        line = f"{canonical_json(fields | {'sha256': sha256})}\n".encode()
        if len(line) > MAX_LINE:
            raise ValueError(f"an entry of {len(line)} bytes, expected at most {MAX_LINE}")
        with self.path.open("r+b", buffering=0) as file:
            _append(file, self.end, line)
        entry = Entry(number, previous, sha256, line)
        return Ledger(self.path, [*self.entries, entry], self.end + len(line), 0)


def create_ledger(path: Path) -> Ledger:
    """Make an empty ledger in a folder that is not yet in use.

    Args:
        path: File to make.

    Returns:
        The ledger.
    """
    with path.open("xb") as file:
        os.fsync(file.fileno())
    return Ledger(path, [], 0, 0)


def read_ledger(path: Path, tell: Callable[[Entry, Record], None] | None = None) -> Ledger:
    """Read a ledger and verify its chain.

    Args:
        path: Its file.
        tell: Is told every entry with what it says, so that this need not be read again. Default: nobody.

    Returns:
        The ledger.

    Raises:
        InputError: There is no such file.
        BrokenLedgerError: An entry is not what was written, or not in its place.
    """
    if not path.is_file():
        raise InputError(f"no ledger {path}")
    entries: list[Entry] = []
    previous, end = NOTHING_BEFORE, 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise BrokenLedgerError(path, len(entries) + 1, f"longer than {MAX_LINE} bytes")
            if not line.endswith(b"\n"):
                return Ledger(path, entries, end, len(line))
            entry, record = _parse(path, len(entries), previous, line)
            if tell is not None:
                tell(entry, record)
            entries.append(entry)
            previous, end = entry.sha256, end + len(line)
    return Ledger(path, entries, end, 0)


def _append(file: FileIO, end: int, line: bytes) -> None:
    """Write a line where the whole lines end; take it back if that fails."""
    file.truncate(end)
    file.seek(end)
    try:
        left = memoryview(line)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _parse(path: Path, number: int, previous: str, line: bytes) -> tuple[Entry, Record]:
    """One line, verified against the one before.

    Args:
        path: For messages.
        number: That the entry must have.
        previous: Hash of the entry before.
        line: With its line break.

    Returns:
        The entry, and what it says.

    Raises:
        ArtifactError: It is of another version.
        BrokenLedgerError: It is not what was written, or not in its place.
    """
    try:
        fields = json.loads(line)
        version, found = fields["version"], {name: fields[name] for name in ("number", "previous", "sha256")}
        intact = _is_intact(line, fields)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise BrokenLedgerError(path, number + 1, f"not an entry ({type(error).__name__})") from error
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path}, line {number + 1}: version {str(version)[:20]}, this speu reads version "
            f"{FORMAT_VERSION}",
            hint="use the speu that wrote it",
        )
    if (found["number"], found["previous"]) != (number, previous):
        follows = str(found["previous"])[:12]
        raise BrokenLedgerError(path, number + 1, f"follows {follows}, expected {previous[:12]}")
    if not intact:
        raise BrokenLedgerError(path, number + 1, "does not match its hash: it was changed")
    return Entry(number, previous, found["sha256"], line), _without_chain(fields)


def _is_intact(line: bytes, fields: Mapping[str, Any]) -> bool:
    """Whether a line is the one that was hashed, its hash put where it belongs among the sorted names.

    The bytes are hashed, not what they say: that would be to write every line again in order to read it.

    Args:
        line: With its line break.
        fields: What it says.

    Returns:
        Whether it is.
    """
    own = f'"sha256":"{fields["sha256"]}",'.encode()
    hashed = line.removesuffix(b"\n").replace(own, b"", 1)
    return (
        own in line
        and list(fields) == sorted(fields)
        and fields["format"] == "speu-ledger"
        and hashlib.sha256(hashed).hexdigest() == fields["sha256"]
    )


def _without_chain(fields: Record) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in OWN_FIELDS}
