"""``speu requests verify``: is everything as the ledger says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.errors import SpeuError
from speu_cli.masks.files import KIND as OF_MASK
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.statistics.files import KIND as STATISTICS
from speu_cli.unlearning.requests.forgotten import KIND as FORGOTTEN
from speu_cli.unlearning.requests.recorded import read_recorded
from speu_cli.unlearning.requests.state import MASK, WATCHED, State, look_into_state
from speu_cli.unlearning.requests.watched import KIND as WATCHED_KIND


@dataclass(frozen=True)
class VerifyResult:
    """What was found.

    Attributes:
        state: Its folder.
        entries: In the ledger, whose chain is whole.
        head: Hash of the last one.
        checked: What is as the ledger says.
        gone: Models of requests that are not where they were written.
        wrong: A line for each that is something else.
        notes: What is worth knowing besides.
    """

    state: Path
    entries: int
    head: str
    checked: list[str]
    gone: list[str]
    wrong: list[str]
    notes: list[str]


def verify_requests(state: Path) -> VerifyResult:
    """Compute the chain and the hashes of all that the ledger names, and compare.

    Args:
        state: Folder of the state; that its settings, salt and ledger fit is verified as it is opened.

    Returns:
        What was found; nothing is written.
    """
    with look_into_state(state) as opened:
        checked, gone, wrong = [], [], _broken_succession(opened)
        for name, path, check in _checks(opened):
            if name.startswith("model of") and not path.exists():
                gone.append(f"{name}: {path}")
                continue
            try:
                check(path)
                checked.append(f"{name}: {path}")
            except SpeuError as error:
                wrong.append(f"{name}: {error}")
        head, notes = opened.ledger.head, _notes(opened)
        return VerifyResult(state, len(opened.ledger.entries), head, checked, gone, wrong, notes)


def _notes(state: State) -> list[str]:
    """An interrupted request, and a clock that went backwards."""
    notes = [state.interrupted] if state.interrupted else []
    for before, entry in pairwise(state.requests):
        times = [datetime.fromisoformat(one.record["time"]) for one in (before, entry)]
        if times[1] < times[0]:
            notes.append(
                f"{entry.record['id']} says {times[1].isoformat()}, {before.record['id']} before it says "
                f"{times[0].isoformat()}: a clock went backwards; the order is that of the ledger"
            )
    return notes


def _broken_succession(state: State) -> list[str]:
    """Requests that do not start from the model that the one before left."""
    last, wrong = state.settings.identity, []
    for entry in state.requests:
        if entry.record["model_before"] != last:
            wrong.append(f"{entry.record['id']} does not follow the model of the request before it")
        last = entry.record["model_after"]
    return wrong


def _checks(state: State) -> Iterator[tuple[str, Path, Callable[[Path], None]]]:
    """Name, place and test of everything that the ledger names, but for sums that later ones replaced."""
    settings, start = state.settings, state.ledger.entries[0].record
    yield "original model", Path(settings.model), partial(_require_model, settings.identity)
    yield "statistics", Path(settings.fisher), partial(_require_file, STATISTICS, settings.statistics)
    if start["mask"] is not None:
        yield "mask", state.folder / MASK, partial(_require_file, OF_MASK, start["mask"])
    yield "watched losses", state.folder / WATCHED, partial(_require_file, WATCHED_KIND, start["watched"])
    for entry in state.requests:
        record = entry.record
        place = Path(record["output"])
        yield f"model of {record['id']}", place, partial(_require_model, record["model_after"])
        if record["mask_file"] is not None and place.exists():
            check = partial(_require_file, OF_MASK, record["mask_file"])
            yield f"mask of {record['id']}", place / MASK_NAME, check
    for entry in [entry for entry in state.requests[-1:] if entry.record["sums"] is not None]:
        path = state.sums(entry.number)
        yield "sums of the forgotten", path, partial(_require_file, FORGOTTEN, entry.record["sums"])


def _require_file(kind: str, digest: str, path: Path) -> None:
    read_recorded(path, kind, digest)


def _require_model(identity: Mapping[str, str], path: Path) -> None:
    checkpoint = load_checkpoint(path, device="cpu", dtype=torch.float32)
    ModelIdentity(**identity).require_same(checkpoint.identity, str(path))
