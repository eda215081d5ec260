"""``speu compare``: several evaluated models side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli import values
from speu_cli.cli.options import ForceOption, ShowOptions, argument, of_input, of_method, of_output
from speu_cli.cli.output import Output
from speu_cli.errors import InputError

if TYPE_CHECKING:
    from speu_cli.evaluation.runs.contents import Contents

EXAMPLES = """
  speu compare spe-so.json ssd.json npo.json
  speu compare spe-so.json ssd.json --sort gap.average --html comparison.html
  speu compare ours=runs/1.json theirs=runs/2.json --made ours=unlearn.json --json
  speu compare spe-so.json ssd.json --metrics loss.forget --metrics gap.average
"""


def compare(
    *,
    runs: Annotated[
        list[str],
        argument(
            metavar="RUN",
            help="Files of speu eval --json, each FILE or NAME=FILE; without a name that of the file.",
        ),
    ],
    made: Annotated[
        list[str] | None,
        of_input(
            "--made",
            metavar="NAME=FILE",
            parser=values.pair,
            help="What speu unlearn --json or speu train --json printed when it made the model NAME, for its "
            "time; reference is the retrained one; may be repeated.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        of_method(
            "--sort",
            metavar="METRIC",
            show_default="as given",
            help="A metric, gap.METRIC, gap.average, seconds, parameters_changed or bytes_written: smallest "
            "first, with - before it largest first.",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        of_method(
            "--metrics",
            metavar="METRIC",
            show_default="efficacy, fidelity, gaps, cost",
            help="Show this instead, named as for --sort; may be repeated.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        of_output("--html", metavar="FILE", help="Also write one page with figures that needs nothing else."),
    ] = None,
    markdown: Annotated[
        Path | None, of_output("--markdown", metavar="FILE", help="Also write the tables as Markdown.")
    ] = None,
    force: ForceOption = False,
    show: ShowOptions,
) -> None:
    """Lay evaluated models side by side, with their distances from the retrained one.

    Runs that did not measure the same rows in the same way are refused.
    """
    given, out, shown = _by_name(runs), show.output(), metrics or ()
    timed = {name: Path(path) for name, path in values.by_name("--made", made or ()).items()}
    with out.working():
        from speu_cli.stages.compare import ComparisonFiles, check_comparison, write_comparison
        from speu_cli.stages.compare import compare as stage

        files = ComparisonFiles(html, markdown, force)
        check_comparison(files, [*given.values(), *timed.values()])
        result = stage(given, made=timed, sort_by=sort, metrics=shown)
    if out.json:  # before the files: a full disk must not cost what was compared
        out.json_object(result)
    else:
        _show(out, result.contents(shown))
    write_comparison(files, result, shown)


def _by_name(runs: list[str]) -> dict[str, Path]:
    """Files by the name that was given, or by that of the file.

    Returns:
        In order.

    Raises:
        InputError: A name is there twice.
    """
    found: dict[str, Path] = {}
    for run in runs:
        before, named, after = run.partition("=")
        path = Path(after if named else run)
        name = before if named else path.stem
        if name in found:
            raise InputError(
                f"two runs are called {name!r}: {found[name]} and {path}", hint="name them: NAME=FILE"
            )
        found[name] = path
    return found


def _show(out: Output, contents: "Contents") -> None:
    """Print the tables and what is to be said beside them."""
    for name, table in contents.tables.items():
        out.table([name, *table.header[1:]], table.rows)
        print()
    print(contents.measured)
    print(contents.closest)
    for note in contents.notes:
        print(f"note: {note}")
