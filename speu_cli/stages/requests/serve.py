"""``speu unlearn --state``: the next request of a state."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.write import (
    check_checkpoint_output,
    identify_as_stored,
    read_record,
    write_checkpoint,
)
from speu_cli.data.examples import Examples
from speu_cli.data.ids import STDIN, read_ids
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import MaskOrigin, write_mask
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.requests.aided import AidedStep, Original, aided_step, open_original
from speu_cli.stages.requests.asked import Asked, asked_of, served_before
from speu_cli.stages.requests.served import ServedResult, already_done, served
from speu_cli.stages.runtime import Runtime
from speu_cli.unlearning.requests.forgotten import Forgotten, read_forgotten, write_forgotten
from speu_cli.unlearning.requests.ledger import Ledger
from speu_cli.unlearning.requests.state import State, open_state

# What the record in the model has of the ledger's entry: nothing of the ids.
IN_MODEL = (
    *(
        "model_before",
        "model_after",
        "method",
        "mask",
        "step",
        "selected",
        "rate",
        "loss_before",
        "loss_after",
    ),
    *("inputs", "remaining", "in_all", "versions"),
)


def serve_request(
    state: Path,
    forget: str,
    output: Path | None,
    *,
    request_id: str | None = None,
    rate: float | None = None,
    dry_run: bool = False,
    runtime: Runtime | None = None,
) -> ServedResult:
    """Forget further examples: everything at θ*, with the sums of all that were forgotten before (Eq. 12).

    The model reads the examples of this request alone; neither the remaining examples nor those forgotten
    before. A run that ends at any moment leaves the request undone or done, never in between: it is done
    once its entry is in the ledger.

    Args:
        state: Folder of the state.
        forget: Id list of the request.
        output: Checkpoint folder to write; may be None for a dry run.
        request_id: Names the request. Default: the next free number of the year.
        rate: η. Default: as the state says.
        dry_run: Do everything but write.
        runtime: Where to run.

    Returns:
        What was done.

    Raises:
        InputError: There is nowhere to write, or it is in the state.
    """
    runtime, now = runtime or Runtime(), datetime.now(UTC)
    target = None if dry_run else output
    if target is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")
    with open_state(state) as opened:
        asked = asked_of(opened, read_ids(forget), request_id, now)
        if (done := served_before(opened, asked)) is not None:
            return already_done(asked, done, output, opened.ledger.head)
        force = runtime.force or _is_of_request(target, opened, asked)
        if target is not None:
            settings = opened.settings
            inputs = (settings.model, settings.fisher, settings.data, forget, state)
            check_checkpoint_output(target, force=force, inputs=inputs)
            if state.resolve() in target.resolve().parents:
                raise InputError(f"output {target} is in the state {state}", hint="choose another place")
        original = open_original(opened, runtime)
        started = time.perf_counter()
        encoded = original.session.encode(_new_examples(opened, original, asked, forget))
        step = aided_step(original, _forgotten_before(opened, original), encoded, rate)
        seconds, ledger = time.perf_counter() - started, opened.ledger
        if target is not None:
            entry = _entry(opened, original, asked, step) | {"time": now.isoformat(timespec="seconds")}
            ledger = _write(opened, original, step, entry, target, force=force)
        return served(asked, step, target, ledger, original.method.name, seconds)


def _is_of_request(output: Path | None, state: State, asked: Asked) -> bool:
    """Whether a folder was written for this very request, by a run that ended before it was recorded."""
    if output is None or not output.is_dir():
        return False
    record = read_record(output) or {}
    return record.get("request") == _named(state, asked.request_id)


def _named(state: State, request_id: str) -> dict[str, str]:
    """What a model says of the request that it was written for."""
    return {"id": request_id, "ledger_head": state.ledger.head}


def _new_examples(state: State, original: Original, asked: Asked, source: str) -> Examples:
    """Find the examples to forget, which have to be as the statistics know them.

    Args:
        state: Says where the data are.
        original: Knows the rows.
        asked: The request.
        source: Where its ids came from.

    Returns:
        The new ones.

    Raises:
        ArtifactError: Some are not in the training set, or not the same.
    """
    examples, ids = original.session.read(state.settings.data), sorted(asked.new.values())
    examples.positions(ids, ids_source="standard input" if source == STDIN else source)
    found = examples.select(ids)
    odd = ~np.isin(found.row_hashes(), original.file.rows)
    if odd.any():
        raise ArtifactError(
            f"{odd.sum()} of the {len(found)} examples are not, or not with this text and label, in the "
            "training set that the statistics are of",
            hint="give the data that 'speu fisher' read",
        )
    return found


def _forgotten_before(state: State, original: Original) -> Forgotten | None:
    """Sums over what earlier requests forgot, if there were any."""
    if not state.requests:
        return None
    last = state.requests[-1]
    identity = original.session.checkpoint.identity
    return read_forgotten(state.sums(last.number), last.record["sums"], identity, original.file.statistics)


def _entry(state: State, original: Original, asked: Asked, step: AidedStep) -> dict[str, Any]:
    """What the ledger says of a request, but for what only writing tells."""
    method = original.method
    return {
        "kind": "request",
        "id": asked.request_id,
        "forget": {
            "ids": sorted(asked.new),
            "count": len(asked.new),
            "before": asked.before,
            "asked_sha256": asked.digest,
        },
        "in_all": step.forgotten.examples,
        "remaining": step.remaining,
        "method": method.name,
        "mask": asdict(method.mask) if step.localized else None,
        "step": asdict(method.step),
        "rate": step.rate,
        "model_before": state.last_model,
        "model_after": asdict(identify_as_stored(original.session.checkpoint)),
        "loss_before": step.loss_before,
        "loss_after": step.loss_after,
        "selected": step.mask.counts(),
        "parameters_changed": step.parameters,
        "inputs": {"statistics": original.file.digest},
        "versions": library_versions(),
    }


def _write(
    state: State, original: Original, step: AidedStep, entry: dict[str, Any], output: Path, *, force: bool
) -> Ledger:
    """Write the model with its mask, then the sums, and then the entry that makes them count.

    Args:
        state: The state.
        original: Its model has been moved.
        step: What was done.
        entry: What the ledger will say.
        output: Folder of the new model.
        force: The folder may be replaced.

    Returns:
        The ledger with the entry.
    """
    session, statistics = original.session, original.file.digest
    # A name that is not UTF-8 has no place in JSON.
    place = str(output.resolve()).encode("utf-8", "replace").decode()
    written: dict[str, str | None] = {"output": place, "mask_file": None}

    def add_mask(folder: Path) -> None:
        if step.localized is not None:
            origin = MaskOrigin(session.checkpoint.identity, statistics, None)
            path = folder / MASK_NAME
            written["mask_file"] = write_mask(path, step.localized, original.method.mask, origin, force=False)

    shown = {"format": "speu", "version": FORMAT_VERSION, "kind": "unlearning"}
    record = shown | {"request": _named(state, entry["id"]), "encoding": original.file.settings.to_record()}
    record |= {name: entry[name] for name in IN_MODEL}
    write_checkpoint(session.checkpoint, output, record, force=force, extra=add_mask)
    written["sums"] = write_forgotten(
        state.sums(len(state.ledger.entries)), step.forgotten, session.checkpoint.identity, statistics
    )
    return state.ledger.append(entry | written)
