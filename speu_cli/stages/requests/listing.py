"""``speu requests list`` and ``show``: what the ledger says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speu_cli.errors import InputError
from speu_cli.unlearning.requests.capacity import Capacity
from speu_cli.unlearning.requests.ledger import Entry
from speu_cli.unlearning.requests.state import State, look_into_state


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
        capacity: Drift, share and watched losses of the new model, against θ*.
        retrain: Thresholds that it has reached.
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
    capacity: Capacity
    retrain: list[str]
    output: str


@dataclass(frozen=True)
class ListResult:
    """The requests of a state.

    Attributes:
        state: Its folder.
        head: Hash of the ledger's last entry.
        examples: n_D.
        requests: In order.
        interrupted: What became of a request whose run was killed; None if none was.
    """

    state: Path
    head: str
    examples: int
    requests: list[Listed]
    interrupted: str | None


def list_requests(state: Path) -> ListResult:
    """List the requests of a state, whose chain is verified."""
    with look_into_state(state) as opened:
        requests = [_listed(entry) for entry in opened.requests]
        head, examples = opened.ledger.head, opened.settings.examples
        return ListResult(state, head, examples, requests, opened.interrupted)


def show_request(state: Path, request_id: str) -> Mapping[str, Any]:
    """What the ledger says of a request.

    Args:
        state: Folder of the state.
        request_id: Names the request.

    Returns:
        The record, with its place in the chain.
    """
    with look_into_state(state) as opened:
        entry = find_request(opened, request_id)
    return {**entry.record, "number": entry.number, "previous": entry.previous, "sha256": entry.sha256}


def find_request(state: State, request_id: str) -> Entry:
    """Find a request by its name.

    Args:
        state: An open state.
        request_id: Names the request.

    Returns:
        Its entry.

    Raises:
        InputError: There is no such request.
    """
    if request_id in state.names:
        return state.names[request_id]
    names = ", ".join(list(state.names)[-5:]) or "none"
    raise InputError(f"no request {request_id!r} in {state.folder}, the last ones are: {names}")


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
        capacity=Capacity.of(record["capacity"]),
        retrain=record["retrain"],
        output=record["output"],
    )
