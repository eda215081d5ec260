"""``speu unlearn --state``: hand a request to its state, and print what was done."""

from pathlib import Path
from typing import TYPE_CHECKING

from speu_cli.cli.options import RunOptions
from speu_cli.cli.output import Output
from speu_cli.cli.wording import as_text, duration, part_of

if TYPE_CHECKING:
    from speu_cli.stages.requests.served import ServedResult


def serve(
    out: Output,
    state: Path,
    forget: str,
    output: Path | None,
    *,
    request_id: str | None,
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
            rate=rate,
            dry_run=dry_run,
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _show(out: Output, result: "ServedResult") -> None:
    for note in result.notes:
        out.note(note)
    if out.json:
        out.json_object(result)
        return
    losses = None
    if result.loss_before is not None and result.loss_after is not None:
        losses = f"{as_text(result.loss_before)} -> {as_text(result.loss_after)}"
    facts: dict[str, object] = {
        "request": result.request_id,
        "output": "nothing, this was a dry run" if result.dry_run else result.output,
        "method": result.method,
        "forget examples": f"{result.forget_examples:,}, {result.forgotten_before:,} of them before",
        "forgotten in all": result.forgotten_in_all,
        "remaining examples": result.remaining_examples,
        "forget loss": losses,
        "rate": result.rate,
    }
    facts |= {kind: part_of(*counts) for kind, counts in result.selected.items()}
    facts["ledger head"] = result.ledger_head
    facts["time"] = duration(result.seconds)
    out.facts(facts)
