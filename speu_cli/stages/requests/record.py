"""What is written of a request: its model, the sums, and the entry in the ledger that makes them count."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.write import identify_as_stored, write_checkpoint
from speu_cli.masks.files import MaskOrigin, write_mask
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.requests.asked import Asked
from speu_cli.stages.requests.base import Base
from speu_cli.stages.requests.served import ServedResult
from speu_cli.stages.requests.step import RequestStep
from speu_cli.unlearning.requests.forgotten import write_forgotten
from speu_cli.unlearning.requests.ledger import Ledger
from speu_cli.unlearning.requests.pending import Pending, begin, end
from speu_cli.unlearning.requests.state import State

# What the record in the model has of the ledger's entry: nothing of the ids.
IN_MODEL = (
    *("model_before", "model_after", "mode", "method", "mask", "step", "selected", "rate"),
    *("loss_before", "loss_after", "inputs", "remaining", "in_all", "capacity", "versions"),
)


def named(state: State, request_id: str) -> dict[str, str]:
    """What a model says of the request that it was written for."""
    return {"id": request_id, "ledger_head": state.ledger.head}


def entry_of(
    state: State, base: Base, asked: Asked, step: RequestStep, result: ServedResult, now: datetime
) -> dict[str, Any]:
    """What the ledger says of a request, but for what only writing tells.

    Args:
        state: The state before it.
        base: Its model has been moved.
        asked: The request.
        step: What it does.
        result: The same, as it is told.
        now: The time.

    Returns:
        JSON values.
    """
    method = base.method
    return {
        "kind": "request",
        "id": asked.request_id,
        "time": now.isoformat(timespec="seconds"),
        "forget": {
            "ids": sorted(asked.new),
            "count": len(asked.new),
            "before": asked.before,
            "asked_sha256": asked.digest,
        },
        "in_all": step.in_all,
        "remaining": step.remaining,
        "counted": step.counted,
        "mode": state.settings.mode,
        "method": method.name,
        "mask": asdict(method.mask) if step.localized else None,
        "step": method.step.record(),
        "rate": step.rate,
        "model_before": state.last_model,
        "model_after": asdict(identify_as_stored(base.session.checkpoint)),
        "loss_before": step.loss_before,
        "loss_after": step.loss_after,
        "selected": step.mask.counts(),
        "parameters_changed": step.parameters,
        "capacity": asdict(result.capacity),
        "retrain": result.retrain,
        "inputs": {"statistics": base.file.digest},
        "versions": library_versions(),
    }


def write_request(
    state: State, base: Base, step: RequestStep, entry: dict[str, Any], output: Path, *, force: bool
) -> Ledger:
    """Write the model with its mask, then the sums, and then the entry that makes them count.

    Args:
        state: The state.
        base: Its model has been moved.
        step: What was done.
        entry: What the ledger will say.
        output: Folder of the new model.
        force: The folder may be replaced.

    Returns:
        The ledger with the entry.
    """
    session, statistics = base.session, base.file.digest
    # A name that is not UTF-8 has no place in JSON.
    place = str(output.resolve()).encode("utf-8", "replace").decode()
    written: dict[str, str | None] = {"output": place, "mask_file": None, "sums": None}

    def add_mask(folder: Path) -> None:
        if step.localized is not None:
            origin = MaskOrigin(session.checkpoint.identity, statistics, None)
            path = folder / MASK_NAME
            written["mask_file"] = write_mask(path, step.localized, base.method.mask, origin, force=False)

    shown = {"format": "speu", "version": FORMAT_VERSION, "kind": "unlearning"}
    record = shown | {"request": named(state, entry["id"]), "encoding": base.file.settings.to_record()}
    record |= {name: entry[name] for name in IN_MODEL}
    begin(state.folder, Pending(entry["id"], state.ledger.head, place))
    write_checkpoint(session.checkpoint, output, record, force=force, extra=add_mask)
    if step.forgotten is not None:
        target = state.sums(len(state.ledger.entries))
        written["sums"] = write_forgotten(target, step.forgotten, session.checkpoint.identity, statistics)
    ledger = state.ledger.append(entry | written)
    end(state.folder)
    return ledger
