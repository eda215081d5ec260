"""JSON lines: one object a line, blank lines skipped."""

import json
from collections.abc import Callable, Iterator
from typing import NoReturn

from speu_cli.data.sources.text_lines import text_lines
from speu_cli.data.table import NO_ROWS, Row, Table, source_name
from speu_cli.errors import InputError

ONE_A_LINE = "write one object a line; jq -c '.[]' turns a JSON list into lines"


def read_json_lines(source: str, wanted: Callable[[str], bool] | None = None) -> Table:
    """Read JSON lines; the columns are those of any row.

    Args:
        source: The file.
        wanted: Tells from a row's line whether to read it. Default: all are read.

    Returns:
        The table.

    Raises:
        InputError: The file has no row.
    """
    rows = list(_objects(source, wanted or (lambda _: True)))
    if not rows:
        raise InputError(f"{source}: {NO_ROWS}")
    columns = dict.fromkeys(name for _, row in rows for name in row)
    name = source_name(source)
    return Table(source, name, list(columns), unit="line", typed=True, rows=lambda _: iter(rows))


def _objects(source: str, wanted: Callable[[str], bool]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text_lines(source), start=1):
        if not line.strip() or not wanted(line):
            continue
        try:
            row = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:  # too long a number is a plain ValueError
            problem = f"{source}, line {number}: got bad JSON ({error}), expected one object"
            raise InputError(problem, hint=ONE_A_LINE) from error
        if not isinstance(row, dict):
            problem = f"{source}, line {number}: got a JSON {type(row).__name__}, expected one object"
            raise InputError(problem, hint=ONE_A_LINE)
        yield number, row


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
