"""``speu unlearn --state``: hand a request to its state, and print what was done."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speu_cli.cli.options import RunOptions
from speu_cli.cli.output import Output
from speu_cli.wording import as_text, duration, part_of

if TYPE_CHECKING:
    from speu_cli.stages.requests.served import ServedResult
    from speu_cli.unlearning.requests.capacity import Level

RETRAIN = 9


def serve(
    out: Output,
    state: Path,
    forget: str,
    output: Path | None,
    *,
    request_id: str | None,
    model: Path | None,
    rate: float | None,
    dry_run: bool,
    run: RunOptions,
    force: bool,
) -> None:
    """Serve a request and print the result.

    Args:
        out: Where to print.
        state: Folder of the state.
        forget: Id list.
        output: Folder of the new model.
        request_id: Names the request.
        model: Where the model that it starts from is now.
        rate: η.
        dry_run: Write nothing.
        run: Where to run.
        force: An existing output may be replaced.
    """
    with out.working() as progress:
        from speu_cli.stages.requests.serve import serve_request

        result = serve_request(
            state,
            forget,
            output,
            request_id=request_id,
            model=model,
            rate=rate,
            dry_run=dry_run,
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)
    _advise(out, result)


def _advise(out: Output, result: "ServedResult") -> None:
    """End with a code of its own where retraining is advised; not for what was done long ago.

    Raises:
        typer.Exit: It is.
    """
    for reason in result.retrain:
        out.warn(f"retrain now: {reason}")
    if result.retrain and not result.already_done:
        raise typer.Exit(RETRAIN)


def _show(out: Output, result: "ServedResult") -> None:
    for note in result.notes:
        out.note(note)
    if out.json:
        out.json_object(result)
        return
    capacity = result.capacity
    facts: dict[str, object] = {
        "request": result.request_id,
        "output": "nothing, this was a dry run" if result.dry_run else result.output,
        "method": f"{result.method}, {result.mode}",
        "forget examples": f"{result.forget_examples:,}, {result.forgotten_before:,} of them before",
        "forgotten in all": result.forgotten_in_all,
        "remaining examples": result.remaining_examples,
        "forget loss": _change(result.loss_before, result.loss_after),
        "held-out loss": _level(capacity.holdout),
        "remaining loss": _level(capacity.remaining),
        "drift": f"{capacity.drift.share:.3%} of the parameters' norm",
        "rate": result.rate,
    }
    facts |= {kind: part_of(*counts) for kind, counts in result.selected.items()}
    facts["ledger head"] = result.ledger_head
    facts["time"] = duration(result.seconds)
    out.facts(facts)


def _change(before: float | None, after: float | None) -> str | None:
    return None if before is None or after is None else f"{as_text(before)} -> {as_text(after)}"


def _level(level: "Level | None") -> str | None:
    """Of watched examples, from the original model on."""
    if level is None:
        return None
    return f"{as_text(level.start)} -> {as_text(level.after)} ({level.examples:,} examples, since the start)"
