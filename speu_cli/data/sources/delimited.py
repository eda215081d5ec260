"""CSV and TSV, the first row naming the columns.

CSV quotes as spreadsheets do, and a quote that is never closed is refused. TSV has no quoting at all: in the
TSV files of GLUE and its like a lone ``"`` belongs to the text, and reading it as a quote would swallow rows.
"""

import csv
from collections.abc import Iterator, Sequence

from speu_cli.data.sources.text_lines import text_lines
from speu_cli.data.table import NO_ROWS, Row, Table, source_name
from speu_cli.errors import InputError

LONGEST_FIELD = 2**31 - 1  # the most that every platform takes


class Tsv(csv.excel_tab):
    """Tab-separated, quotes being ordinary characters."""

    quoting = csv.QUOTE_NONE


def read_csv(source: str) -> Table:
    """Read comma-separated values."""
    return _read(source, csv.excel)


def read_tsv(source: str) -> Table:
    """Read tab-separated values."""
    return _read(source, Tsv)


def _read(source: str, dialect: type[csv.Dialect]) -> Table:
    records = _records(source, dialect)
    _, columns = next(records, (0, None))
    if columns is None:
        raise InputError(f"{source}: {NO_ROWS}")

    def rows(_: Sequence[str]) -> Iterator[tuple[int, Row]]:
        for line, fields in records:
            if len(fields) != len(columns):
                raise InputError(
                    f"{source}, line {line}: got {len(fields)} fields, expected {len(columns)}, "
                    "one for each column of the first line"
                )
            yield line, dict(zip(columns, fields, strict=True))

    return Table(source, source_name(source), columns, unit="line", typed=False, rows=rows)


def _records(source: str, dialect: type[csv.Dialect]) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not a blank line, with the line on which it begins."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(text_lines(source), dialect, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{source}, line {line}: got a record that cannot be read ({error}), expected fields "
                'with any quote doubled inside "…"'
            ) from error
        if fields:
            yield line, fields
