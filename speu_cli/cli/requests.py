"""``speu requests``: what the ledger of a state says, and whether everything is as it says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import ForceOption, ShowOptions, StateArgument, argument, of_output
from speu_cli.cli.output import Output
from speu_cli.wording import size

if TYPE_CHECKING:
    from speu_cli.stages.requests.listing import ListResult
    from speu_cli.stages.requests.verify import VerifyResult
    from speu_cli.unlearning.requests.capacity import Level

LIST_EXAMPLES = """
  speu requests list state/
  speu requests list state/ --json
"""
SHOW_EXAMPLES = """
  speu requests show state/ R-2026-017
"""
VERIFY_EXAMPLES = """
  speu requests verify state/
"""
REPORT_EXAMPLES = """
  speu requests report state/ R-2026-017
  speu requests report state/ -o records/
"""
COMPACT_EXAMPLES = """
  speu requests compact state/ --dry-run
  speu requests compact state/
"""


def list_requests(*, state: StateArgument, show: ShowOptions) -> None:
    """List the requests of a state, one a line, with the drift of the model from the original one."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.listing import list_requests as stage

        result = stage(state)
    if result.interrupted:
        out.note(result.interrupted)
    if out.json:
        out.json_object(result)
        return
    _show_list(out, result)


def _show_list(out: Output, result: "ListResult") -> None:
    columns = ("request", "time", "examples", "before", "in all", "rate", "forget loss", "held-out", "drift")
    out.table(
        columns,
        [
            (
                r.request_id,
                r.time,
                r.examples,
                r.before,
                r.in_all,
                "-" if r.rate is None else r.rate,
                f"{_loss(r.loss_before)} -> {_loss(r.loss_after)}",
                _after(r.capacity.holdout),
                f"{r.capacity.drift.share:.3%}",
            )
            for r in result.requests
        ],
    )


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _after(level: "Level | None") -> str:
    return _loss(level.after if level is not None else None)


def show_request(
    *,
    state: StateArgument,
    request_id: Annotated[str, argument(metavar="NAME", help="Name of the request.")],
    show: ShowOptions,
) -> None:
    """Show what the ledger says of one request, as JSON."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.listing import show_request as stage

        result = stage(state, request_id)
    out.json_object(result)


def verify(*, state: StateArgument, show: ShowOptions) -> None:
    """Verify the ledger's chain, and the hash of every file that it names; exit 4 if anything is amiss."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.verify import verify_requests as stage

        result = stage(state)
    for note in result.notes:
        out.note(note)
    _show_verified(out, result)
    _refuse_what_is_wrong(result)


def _show_verified(out: Output, result: "VerifyResult") -> None:
    if out.json:
        out.json_object(result)
        return
    out.facts(
        {
            "state": result.state,
            "entries": result.entries,
            "head": result.head,
            "as recorded": result.checked,
            "not there": result.gone or None,
            "wrong": result.wrong or None,
        }
    )


def _refuse_what_is_wrong(result: "VerifyResult") -> None:
    """End with an error if anything is amiss.

    Raises:
        ArtifactError: Something is not what the ledger says.
    """
    if result.wrong:
        from speu_cli.errors import ArtifactError

        raise ArtifactError(
            f"{len(result.wrong)} of the files are not what the ledger says: {result.wrong[0]}"
        )


def report(
    *,
    state: StateArgument,
    request_id: Annotated[
        str | None, argument(metavar="NAME", help="Name of a request.", show_default="all of them")
    ] = None,
    output: Annotated[
        Path | None,
        of_output(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default="standard output",
            help="Write a .md and a .json file of each request into this new folder.",
        ),
    ] = None,
    force: ForceOption = False,
    show: ShowOptions,
) -> None:
    """Report of each request what was asked, what was done, what it showed, and what it does not prove.

    For the person who answers the one whose data it was, from the ledger alone: Markdown, or with --json one
    JSON object. No ids and no texts are in it.
    """
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.report import report_requests

        result = report_requests(state, request_id, output, force=force)
    if out.json:
        out.json_object(result)
    elif output is None:
        print(result.markdown(), end="")
    else:
        out.facts({"output": output, "files": result.files})


def compact(
    *,
    state: StateArgument,
    dry_run: Annotated[
        bool, of_output("--dry-run", help="Tell what would be removed; remove nothing.")
    ] = False,
    show: ShowOptions,
) -> None:
    """Remove the sums of earlier requests, which no request needs, once those of the last are known whole.

    Each is twice as large as the statistics. The ledger and the models stay as they are.
    """
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.compact import compact_requests

        result = compact_requests(state, dry_run=dry_run)
    if out.json:
        out.json_object(result)
        return
    removed = "would remove" if dry_run else "removed"
    out.facts({"state": result.state, removed: result.removed or "nothing", "size": size(result.bytes)})
