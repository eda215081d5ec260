"""From a table's rows to examples: every cell is checked here, whatever the format was."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from speu_cli.data.columns import DataChoice, find_columns
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError

Row = Mapping[str, object]

# What CSV and TSV may write for a number; an id-like "007" stays text.
WHOLE_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
DECIMAL_NUMBER = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
SHOWN_CHARACTERS = 40
ABSENT = object()
NO_ROWS = "got no rows, expected at least one example"


@dataclass(frozen=True)
class Table:
    """What a reader hands over.

    Attributes:
        source: What messages call it: the source as the caller wrote it.
        name: The source without folders.
        columns: The columns it has.
        unit: What messages count: lines from 1, or rows from 0.
        typed: Whether cells have types; if not, all are text, and labels may be numbers in disguise.
        rows: Gives the number of each row and its cells, of the wanted columns at least; to be called once.
    """

    source: str
    name: str
    columns: Sequence[str]
    unit: Literal["line", "row"]
    typed: bool
    rows: Callable[[Sequence[str]], Iterator[tuple[int, Row]]]


def source_name(source: str) -> str:
    """Give the last part of a path."""
    return PurePath(source).name or source


def examples_of(table: Table, choice: DataChoice) -> Examples:
    """Make examples of the rows; one that lacks a text, a label or an id is refused.

    Args:
        table: What the reader gave.
        choice: What the caller asked for.

    Returns:
        The examples, in the order of the rows.

    Raises:
        InputError: There is no row.
    """
    columns = find_columns(table.columns, choice, source=table.source)
    roles = (columns.id, columns.text, columns.text_pair, columns.label)
    wanted = [name for name in roles if name is not None]
    examples = []
    for position, (number, row) in enumerate(table.rows(wanted)):
        cell = _Cells(table, number, row)
        examples.append(
            Example(
                id=str(position) if columns.id is None else cell.id(columns.id),
                text=cell.text(columns.text),
                text_pair=None if columns.text_pair is None else cell.text(columns.text_pair),
                label=cell.label(columns.label),
            )
        )
    if not examples:
        raise InputError(f"{table.source}: {NO_ROWS}")
    return Examples(examples, source=table.name, columns=columns)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of one row, checked as they are read."""

    table: Table
    number: int
    row: Row

    def id(self, column: str) -> str:
        value = self.row.get(column, ABSENT)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value)
        raise self._problem(column, value, "a non-empty text or a whole number")

    def text(self, column: str) -> str:
        value = self.row.get(column, ABSENT)
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value)
        raise self._problem(column, value, "a non-empty text", hint="drop the row, or choose another column")

    def label(self, column: str) -> int | float | str:
        value = self.row.get(column, ABSENT)
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value) if self.table.typed else _number_or_text(value)
        raise self._problem(column, value, "a label: a finite number or a non-empty text")

    def _encodable(self, column: str, value: str) -> str:
        """Refuse half a surrogate pair, which JSON can write and no tokenizer or file can take."""
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._problem(column, value, "valid Unicode") from None
        return value

    def _problem(self, column: str, value: object, expected: str, *, hint: str | None = None) -> InputError:
        place = f"line {self.number}" if self.table.unit == "line" else f"row {self.number} (from 0)"
        return InputError(
            f"{self.table.source}, {place}, column {column!r}: got {_described(value)}, expected {expected}",
            hint=hint,
        )


def _number_or_text(value: str) -> int | float | str:
    if WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if DECIMAL_NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    return value


def _described(value: object) -> str:
    if value is ABSENT:
        return "no such column in this row"
    if value is None:
        return "null"
    if value == "":
        return "an empty text"
    shown = ascii(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"
