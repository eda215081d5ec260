"""The commands, their help pages and the version."""

import platform
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from speu_cli.cli import compare, fisher, inspect, mask, merge, requests, state, train, unlearn
from speu_cli.cli import eval as eval_command
from speu_cli.cli.groups import spread
from speu_cli.cli.options import PANELS
from speu_cli.cli.output import Output

_HELP_WIDTH = 100
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": _HELP_WIDTH}
_LIBRARIES = ("torch", "transformers", "safetensors")

_EPILOG = """\b
Exit codes:
  0 done, 1 a --require of eval not met, 2 wrong options, rows or ids, 4 a file is corrupt or does not
  fit, 5 the output exists, 6 another run writes it, 7 out of disk or memory, no permission or no such
  device, 8 no safe step, 9 a request was served and retraining is advised, 70 a bug, 130 interrupted,
  141 the reader of the output has gone, 143 terminated.

\b
Environment:
  SPEU_DEVICE and SPEU_BATCH_TOKENS stand in for their options, SPEU_DEBUG=1 shows tracebacks,
  NO_COLOR=1 turns colours off.

Start with: speu COMMAND --help
"""


class Command(TyperCommand):
    """A command whose help page groups the options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel by panel."""
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panels[getattr(param, "rich_help_panel", None) or "Runtime"].append(record)
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)


class Group(TyperGroup):
    """The root; it parses its own flags without pydantic, whose import would double the time of --help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; a flag that is absent is False, not unknown."""
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_bool_flag", False) and param.default is None:
                param.default = False
        return params


app = typer.Typer(
    name="speu",
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
    invoke_without_command=True,
    epilog=_EPILOG,
)


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output, as --json of the command.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The result and errors only, as -q of the command.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell more, as -v of the command.")
    ] = False,
) -> None:
    """Make a fine-tuned transformer forget chosen training examples, in seconds and without the others."""
    if version:
        _print_version(Output(json=json))
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(2)
    shared = {"json": json, "quiet": quiet, "verbose": verbose}
    flags = {name: True for name, given in shared.items() if given}
    of_requests = {str(command.name): flags for command in _requests.registered_commands}
    below = of_requests if ctx.invoked_subcommand == _requests.info.name else flags
    ctx.default_map = {ctx.invoked_subcommand: below}


def _print_version(output: Output) -> None:
    """Print the version; as JSON also those of Python and of the libraries that decide the numbers."""
    from speu_cli.version import __version__

    if not output.json:
        typer.echo(f"speu {__version__}")
        return
    from importlib.metadata import version  # takes as long as all of Typer's parsing

    libraries = {name: version(name) for name in _LIBRARIES}
    output.json_object({"speu": __version__, "python": platform.python_version()} | libraries)


_requests = typer.Typer(
    name="requests",
    cls=Group,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
    no_args_is_help=True,
    help="Requests that keep coming: a state that serves them, and a ledger of what was done.",
    short_help="Requests that keep coming: their state and their ledger.",
)


def _add(
    name: str, command: Callable[..., None], short_help: str, examples: str, to: typer.Typer = app
) -> None:
    """Register a command under a name, with a line for the list of commands and examples for its page."""
    epilog = "\b\nExamples:\n" + examples.strip("\n")
    register = to.command(name, cls=Command, context_settings=_SETTINGS, short_help=short_help, epilog=epilog)
    register(spread(command))


_add("fisher", fisher.fisher, "Statistics of the training examples, once after training.", fisher.EXAMPLES)
_add("merge", merge.merge, "Put the shards of a divided run together.", merge.EXAMPLES)
_add("mask", mask.mask, "Choose which heads and filters an update may change.", mask.EXAMPLES)
_add("unlearn", unlearn.unlearn, "Forget examples: a new checkpoint beside the old.", unlearn.EXAMPLES)
app.add_typer(_requests)
_add("init", state.init, "Make a state that requests are served from.", state.EXAMPLES, _requests)
_add("list", requests.list_requests, "List what was served.", requests.LIST_EXAMPLES, _requests)
_add("show", requests.show_request, "What the ledger says of a request.", requests.SHOW_EXAMPLES, _requests)
_add("verify", requests.verify, "Verify the ledger and its files.", requests.VERIFY_EXAMPLES, _requests)
_add("report", requests.report, "A record of each request.", requests.REPORT_EXAMPLES, _requests)
_add("compact", requests.compact, "Remove old sums.", requests.COMPACT_EXAMPLES, _requests)
_add("eval", eval_command.evaluate, "Measure what a model still knows.", eval_command.EXAMPLES)
_add("compare", compare.compare, "Lay evaluated models side by side.", compare.EXAMPLES)
_add("train", train.train, "Fine-tune a model, also without some of the examples.", train.EXAMPLES)
_add("inspect", inspect.inspect, "Show what is in a file that speu wrote.", inspect.EXAMPLES)
