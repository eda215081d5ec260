"""The cells of a row: every one is checked as it is read, whatever the format was."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from speu_cli.data.answers import Answers
from speu_cli.data.pictures import Picture
from speu_cli.data.table import Row, Table
from speu_cli.errors import InputError

# What CSV and TSV may write for a number; an id-like "007" stays text.
WHOLE_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
DECIMAL_NUMBER = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
SHOWN_CHARACTERS = 40
ABSENT = object()
ANSWERS = 'answers: {"text": […], "answer_start": […]}, as many non-empty texts as whole numbers'


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one row, checked as they are read.

    Attributes:
        table: The table.
        number: Of the row, as messages count.
        row: Its cells.
    """

    table: Table
    number: int
    row: Row

    def id(self, column: str) -> str:
        """A text or a whole number, as text."""
        value = self.row.get(column, ABSENT)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value)
        raise self._problem(column, value, "a non-empty text or a whole number")

    def text(self, column: str) -> str:
        """A text that is more than blanks."""
        value = self.row.get(column, ABSENT)
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value)
        raise self._problem(column, value, "a non-empty text", hint="drop the row, or choose another column")

    def texts(self, column: str) -> tuple[str, ...]:
        """Several texts, each more than blanks; none where there is no such cell."""
        value = self.row.get(column)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise self._problem(column, value, "a list of non-empty texts")
        return tuple(self._encodable(column, one) for one in value)

    def label(self, column: str) -> int | float | str:
        """A number or a text."""
        value = self.row.get(column, ABSENT)
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, str) and value.strip():
            return self._encodable(column, value) if self.table.typed else _number_or_text(value)
        raise self._problem(column, value, "a label: a finite number or a non-empty text")

    def answers(self, column: str) -> Answers:
        """The answers of a question: a record of two lists, or a list of records as in official files."""
        value = self.row.get(column, ABSENT)
        if isinstance(value, Mapping):
            texts, starts = value.get("text"), value.get("answer_start")
        elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            texts, starts = ([one.get(name) for one in value] for name in ("text", "answer_start"))
        else:
            texts = starts = None
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise self._problem(column, value, ANSWERS)
        whole = (isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in starts)
        if not all(whole) or not all(isinstance(one, str) and one for one in texts):
            raise self._problem(column, value, ANSWERS)
        return Answers(tuple(self._encodable(column, text) for text in texts), tuple(starts))

    def picture(self, column: str) -> Picture:
        """An image: its bytes, or where its file is below the folder of the data set."""
        value = self.row.get(column, ABSENT)
        name = value.get("path") if isinstance(value, Mapping) else value
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(content, bytes):
            return Picture.of_bytes(name if isinstance(name, str) else self._place, content)
        if isinstance(name, str) and name.strip():
            return Picture.in_folder(self.table.folder, self._encodable(column, name))
        raise self._problem(column, value, "an image: bytes, or the path of a file")

    def _encodable(self, column: str, value: str) -> str:
        """Refuse half a surrogate pair, which JSON can write and no tokenizer or file can take."""
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._problem(column, value, "valid Unicode") from None
        return value

    @property
    def _place(self) -> str:
        return f"line {self.number}" if self.table.unit == "line" else f"row {self.number} (from 0)"

    def _problem(self, column: str, value: object, expected: str, *, hint: str | None = None) -> InputError:
        return InputError(
            f"{self.table.source}, {self._place}, column {column!r}: "
            f"got {_described(value)}, expected {expected}",
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
