"""Where a command prints: the result on standard output, everything else on standard error."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from json import dumps
from pathlib import PurePath
from typing import TextIO

from speu_cli.cli.processes import is_main_process
from speu_cli.cli.progress import progress_on
from speu_cli.cli.working import quiet_libraries, running_time, stdout_kept_clean
from speu_cli.progress import Progress, Silent
from speu_cli.wording import as_text

_PLAIN_WIDTH = 160  # of tables that no terminal shows


@dataclass(frozen=True)
class Output:
    """The one sink of a command.

    Args:
        json: The result is one JSON object instead of text.
        quiet: Only the result, warnings and errors.
        verbose: Details as well, and the chatter of libraries.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @contextmanager
    def working(self, *sources: str | None) -> Iterator[Progress]:
        """Prepare for a stage, and show its progress while it runs.

        Args:
            *sources: Where its examples come from; the network is used only for ``hub:`` sources.

        Yields:
            What the stage reports its progress to.
        """
        network = any(source is not None and source.startswith("hub:") for source in sources)
        quiet_libraries(network=network, verbose=self.verbose)
        shown = is_main_process()
        progress: Progress = Silent() if self.quiet or not shown else progress_on(sys.stderr)
        with running_time() as elapsed, stdout_kept_clean():
            yield progress
        if shown:
            self.detail(elapsed())

    def json_object(self, result: object) -> None:
        """Print a result as one JSON object on one line: strict JSON, sorted keys, null for nan."""
        print(dumps(as_json(result), sort_keys=True, allow_nan=False), file=sys.stdout)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Print named values, one a line, a list as several; those that are None are left out."""
        shown = {name: value for name, value in facts.items() if value is not None}
        width = max(map(len, shown), default=0)
        for name, value in shown.items():
            items = value if isinstance(value, list) else [value]
            for place, item in enumerate(items):
                print(f"{name if place == 0 else '':<{width}}  {as_text(item)}", file=sys.stdout)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table: the first column to the left, the others to the right.

        Args:
            columns: The headings.
            rows: The cells, as many a row as there are headings.
        """
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style=None)
        for place, name in enumerate(columns):
            table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(as_text(cell)) for cell in row))
        width = None if sys.stdout.isatty() else _PLAIN_WIDTH
        console = Console(file=sys.stdout, width=width, markup=False, highlight=False, color_system=None)
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():
            print(line.rstrip(), file=sys.stdout)

    def note(self, message: str) -> None:
        """Tell something worth knowing, unless quiet."""
        if not self.quiet:
            _say(message, sys.stderr)

    def detail(self, message: str) -> None:
        """Tell something for the curious."""
        if self.verbose and not self.quiet:
            _say(message, sys.stderr)

    def warn(self, message: str) -> None:
        """Tell what may be wrong with the result."""
        _say(f"warning: {message}", sys.stderr)


def _say(message: str, stream: TextIO) -> None:
    """Print one line under the name of the program."""
    print(f"speu: {message}", file=stream)


def as_json(value: object) -> object:
    """Return a value as strict JSON has it: dataclasses as objects, paths as text, nan and infinity as null.

    Args:
        value: A result of a stage, or a part of one.

    Returns:
        Only dicts with text keys, lists, text, finite numbers, booleans and None.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (PurePath, Enum)):
        return str(value) if isinstance(value, PurePath) else as_json(value.value)
    return _container_as_json(value)


def _container_as_json(value: object) -> object:
    """Return a dataclass, mapping, sequence or array as strict JSON has it."""
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    to_list = getattr(value, "tolist", None)  # arrays and their scalars, without importing their library
    if to_list is None:
        raise TypeError(f"no JSON form of {type(value).__name__}")
    return as_json(to_list())
