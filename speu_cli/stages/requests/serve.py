"""``speu unlearn --state``: the next request of a state."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from speu_cli.checkpoints.write import check_checkpoint_output, read_record
from speu_cli.data.examples import Examples
from speu_cli.data.ids import STDIN, read_ids
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.requests.aided import aided_step
from speu_cli.stages.requests.asked import Asked, asked_of, served_before
from speu_cli.stages.requests.base import Base, open_base
from speu_cli.stages.requests.free import free_step, remaining_examples
from speu_cli.stages.requests.record import entry_of, named, write_request
from speu_cli.stages.requests.served import ServedResult, already_done, served
from speu_cli.stages.requests.step import RequestStep
from speu_cli.stages.requests.watch import capacity_of, watched_of
from speu_cli.stages.runtime import Runtime
from speu_cli.unlearning.requests.forgotten import Forgotten, read_forgotten
from speu_cli.unlearning.requests.state import State, open_state


def serve_request(
    state: Path,
    forget: str,
    output: Path | None,
    *,
    request_id: str | None = None,
    model: Path | None = None,
    rate: float | None = None,
    dry_run: bool = False,
    runtime: Runtime | None = None,
) -> ServedResult:
    """Forget further examples: the next request of a state.

    Memory-aided, everything is computed at θ*, with the sums of all that were forgotten before (Eq. 12);
    memory-free, at the last model, with statistics of what remains (Eq. 11). The state says which.

    A run that ends at any moment leaves the request undone or done, never in between: it is done once its
    entry is in the ledger.

    Args:
        state: Folder of the state.
        forget: Id list of the request.
        output: Checkpoint folder to write; may be None for a dry run.
        request_id: Names the request. Default: the next free number of the year.
        model: Where the model that the request starts from is now. Default: where it was.
        rate: η. Default: as the state says.
        dry_run: Do everything but write.
        runtime: Where to run.

    Returns:
        What was done.

    Raises:
        InputError: There is nowhere to write.
    """
    runtime, now = runtime or Runtime(), datetime.now(UTC)
    target = None if dry_run else output
    if target is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")
    with open_state(state) as opened:
        asked = asked_of(opened, read_ids(forget), request_id, now)
        if (done := served_before(opened, asked)) is not None:
            return already_done(opened, asked, done, output)
        force = runtime.force or _is_of_request(target, opened, asked)
        if target is not None:
            _check_output(target, opened, (forget, model), force=force)
        base = open_base(opened, model, runtime)
        started = time.perf_counter()
        examples = _examples(opened, base, asked)
        step = _step(opened, base, examples, _new_examples(base, examples, asked, forget), rate)
        capacity = capacity_of(opened, base, examples, asked, step.in_all)
        result = served(opened, asked, step, capacity, target, _notes(opened, now))
        result = replace(result, seconds=time.perf_counter() - started)
        if target is None:
            return result
        entry = entry_of(opened, base, asked, step, result, now)
        return replace(result, ledger_head=write_request(opened, base, step, entry, target, force=force).head)


def _check_output(target: Path, state: State, given: Iterable[str | Path | None], *, force: bool) -> None:
    """Refuse an output that could not or must not be written.

    Args:
        target: Folder to come.
        state: Names what is read.
        given: What is read besides.
        force: An existing checkpoint may be replaced.

    Raises:
        InputError: It is in the state.
    """
    settings = state.settings
    inputs = (settings.model, settings.fisher, settings.data, settings.holdout, state.folder, *given)
    last = [entry.record["output"] for entry in state.requests[-1:]] if settings.mode == "free" else []
    check_checkpoint_output(target, force=force, inputs=(*inputs, *last))
    if state.folder.resolve() in target.resolve().parents:
        raise InputError(f"output {target} is in the state {state.folder}", hint="choose another place")


def _is_of_request(output: Path | None, state: State, asked: Asked) -> bool:
    """Whether a folder was written for this very request, by a run that ended before it was recorded."""
    if output is None or not output.is_dir():
        return False
    record = read_record(output) or {}
    return record.get("request") == named(state, asked.request_id)


def _notes(state: State, now: datetime) -> list[str]:
    """What is worth knowing before a request."""
    notes = [state.interrupted] if state.interrupted else []
    last = state.requests[-1].record["time"] if state.requests else None
    if last is not None and now < datetime.fromisoformat(last):
        notes.append(
            f"the clock says {now.isoformat(timespec='seconds')}, before the last request at {last}: it went "
            "backwards; the order of requests is that of the ledger"
        )
    return notes


def _examples(state: State, base: Base, asked: Asked) -> Examples:
    """What is read of the training set: all of it only where the step needs what remains."""
    session, data, ids = base.session, state.settings.data, set(asked.new.values())
    if state.settings.mode == "free":
        return session.read(data)
    watched = set(watched_of(state).remaining.names.tolist())
    return session.read_some(data, lambda one: one in ids or state.salt.name(one) in watched)


def _step(state: State, base: Base, examples: Examples, new: Examples, rate: float | None) -> RequestStep:
    """The step, as the state says."""
    encoded = base.session.encode(new)
    if state.settings.mode == "aided":
        return aided_step(base, _forgotten_before(state, base), encoded, rate)
    remaining = remaining_examples(state, base, examples, new)
    in_all = len(state.forgotten) + len(new)
    return free_step(base, in_all, encoded, remaining, state.settings.max_examples, rate)


def _new_examples(base: Base, examples: Examples, asked: Asked, source: str) -> Examples:
    """Find the examples to forget, which have to be as the statistics know them.

    Args:
        base: Knows the rows.
        examples: Where they are found.
        asked: The request.
        source: Where its ids came from.

    Returns:
        The new ones.

    Raises:
        ArtifactError: Some are not in the training set, or not the same.
    """
    ids = sorted(asked.new.values())
    examples.positions(ids, ids_source="standard input" if source == STDIN else source)
    found = examples.select(ids)
    odd = ~np.isin(found.row_hashes(), base.file.rows)
    if odd.any():
        raise ArtifactError(
            f"{odd.sum()} of the {len(found)} examples are not, or not with this text and label, in the "
            "training set that the statistics are of",
            hint="give the data that 'speu fisher' read",
        )
    return found


def _forgotten_before(state: State, base: Base) -> Forgotten | None:
    """Sums over what earlier requests forgot, if there were any."""
    if not state.requests:
        return None
    last = state.requests[-1]
    identity = base.session.checkpoint.identity
    return read_forgotten(state.sums(last.number), last.record["sums"], identity, base.file.statistics)
