"""What a request asks for, beside what was asked before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.errors import InputError
from speu_cli.unlearning.requests.ledger import Entry
from speu_cli.unlearning.requests.state import State

MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Asked:
    """A request as it came.

    Attributes:
        request_id: Names it.
        new: Ids that no earlier request forgot, by their salted hash.
        before: Number of ids that one did.
        digest: Hash of the salted hashes of all its ids.
    """

    request_id: str
    new: Mapping[str, str]
    before: int
    digest: str

    @property
    def count(self) -> int:
        """Number of ids."""
        return len(self.new) + self.before


def asked_of(state: State, ids: Sequence[str], request_id: str | None, now: datetime) -> Asked:
    """Look up what was forgotten before.

    Args:
        state: Its ledger and salt.
        ids: As they came, each once.
        request_id: As it came. Default: the year and the next free number.
        now: The time.

    Returns:
        The request.

    Raises:
        InputError: There are no ids, or the name is not one.
    """
    if not ids:
        raise InputError("got no ids, expected at least one")
    hashes = {state.salt.hash(one): one for one in ids}
    name = _next_name(state, now) if request_id is None else request_id
    if not name.strip() or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise InputError(
            f"--request-id is {name[:40]!r}, expected 1 to {MOST_CHARACTERS} printable characters"
        )
    new = {digest: one for digest, one in hashes.items() if digest not in state.forgotten}
    return Asked(name, new, len(hashes) - len(new), hash_text(canonical_json(sorted(hashes))))


def served_before(state: State, asked: Asked) -> Entry | None:
    """The entry of the same request, if it was served.

    Args:
        state: Its ledger.
        asked: The request.

    Returns:
        The entry.

    Raises:
        InputError: Another request has this name.
    """
    entry = state.names.get(asked.request_id)
    if entry is not None and entry.record["forget"]["asked_sha256"] != asked.digest:
        raise InputError(
            f"request {asked.request_id} was served with other ids",
            hint="give this request an id of its own with --request-id",
        )
    return entry


def _next_name(state: State, now: datetime) -> str:
    number = len(state.names) + 1
    while (name := f"R-{now.year}-{number:03d}") in state.names:
        number += 1
    return name
