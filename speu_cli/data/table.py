"""What the reader of a source hands over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

Row = Mapping[str, object]

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

    @property
    def folder(self) -> Path:
        """Where the files lie that its rows name."""
        path = Path(self.source)
        return path if path.is_dir() else path.parent


def source_name(source: str) -> str:
    """Give the last part of a path."""
    return PurePath(source).name or source
