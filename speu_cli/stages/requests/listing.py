"""``speu requests list`` and ``show``: what the ledger says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speu_cli.errors import InputError
from speu_cli.unlearning.requests.ledger import Entry
from speu_cli.unlearning.requests.state import open_state


@dataclass(frozen=True)
class Listed:
    """A request in a few words.

    Attributes:
        number: Of its entry.
        request_id: Names it.
        time: When it was served, UTC.
        examples: Newly forgotten by it.
        before: Asked for, but forgotten by earlier ones.
        in_all: Forgotten after it.
        rate: η of the new examples; None if there are none.
        loss_before: Mean loss of the new examples at θ*; None if there are none.
        loss_after: At the new model.
        output: Where the model was written.
    """

    number: int
    request_id: str
    time: str
    examples: int
    before: int
    in_all: int
    rate: float | None
    loss_before: float | None
    loss_after: float | None
    output: str


@dataclass(frozen=True)
class ListResult:
    """The requests of a state.

    Attributes:
        state: Its folder.
        head: Hash of the ledger's last entry.
        examples: n_D.
        requests: In order.
    """

    state: Path
    head: str
    examples: int
    requests: list[Listed]


def list_requests(state: Path) -> ListResult:
    """List the requests of a state, whose chain is verified."""
    with open_state(state) as opened:
        requests = [_listed(entry) for entry in opened.requests]
        return ListResult(state, opened.ledger.head, opened.settings.examples, requests)


def show_request(state: Path, request_id: str) -> Mapping[str, Any]:
    """What the ledger says of a request.

    Args:
        state: Folder of the state.
        request_id: Names the request.

    Returns:
        The record, with its place in the chain.

    Raises:
        InputError: There is no such request.
    """
    with open_state(state) as opened:
        for entry in opened.requests:
            if entry.record["id"] == request_id:
                return {
                    **entry.record,
                    "number": entry.number,
                    "previous": entry.previous,
                    "sha256": entry.sha256,
                }
        names = ", ".join(str(entry.record["id"]) for entry in opened.requests[-5:]) or "none"
    raise InputError(f"no request {request_id!r} in {state}, the last ones are: {names}")


def _listed(entry: Entry) -> Listed:
    record = entry.record
    return Listed(
        number=entry.number,
        request_id=record["id"],
        time=record["time"],
        examples=record["forget"]["count"],
        before=record["forget"]["before"],
        in_all=record["in_all"],
        rate=record["rate"],
        loss_before=record["loss_before"],
        loss_after=record["loss_after"],
        output=record["output"],
    )
