"""One example, and a set of them that knows its ids."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import overload

import numpy as np

from speu_cli.data.answers import Answers
from speu_cli.data.columns import Columns
from speu_cli.data.pictures import Picture
from speu_cli.errors import InputError

SHOWN_IDS = 5

Label = int | float | str | Answers | None


@dataclass(frozen=True, slots=True)
class Example:
    """One training record.

    Attributes:
        id: Stable and unique within its set.
        text: The text, or the first of a pair; a question, a prompt; empty for an image.
        text_pair: The second text, where the set has pairs; the context of a question.
        label: A class number, a class name or a score, as it is in the row; the answers to a question; what
            follows a prompt; None for a text that is learnt as it is.
        image: The image, where the set has images.
    """

    id: str
    text: str
    text_pair: str | None
    label: Label
    image: Picture | None = None


class Examples(Sequence[Example]):
    """Examples in a fixed order, each with an id of its own.

    Args:
        rows: The examples, in order.
        source: Where they come from, without folders: messages and records name it.
        columns: The columns they were read from.
        some_unanswerable: Whether a question of the whole set, of which these may be a part, has no answer.
            Default: whether one of these has none.
        left_out: Ids that the source has as well, by what a message says of them: why they are not here.

    Attributes:
        source: As given.
        columns: As given.
        some_unanswerable: As given.
        left_out: As given.

    Raises:
        InputError: An id is there twice.
    """

    def __init__(
        self,
        rows: Sequence[Example],
        *,
        source: str,
        columns: Columns,
        some_unanswerable: bool | None = None,
        left_out: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._rows = tuple(rows)
        self.source = source
        self.columns = columns
        self.left_out = left_out or {}
        self.some_unanswerable = (
            any(isinstance(row.label, Answers) and not row.label.texts for row in self._rows)
            if some_unanswerable is None
            else some_unanswerable
        )
        self._position: dict[str, int] = {}
        for position, row in enumerate(self._rows):
            first = self._position.setdefault(row.id, position)
            if first != position:
                raise InputError(
                    f"{source}: id {row.id!r} is there twice, in rows {first} and {position} (from 0), "
                    "expected every id once",
                    hint="make the ids unique, or choose another column with --id-column",
                )

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Example]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Examples": ...
    def __getitem__(self, index: int | slice) -> "Example | Examples":
        if isinstance(index, slice):
            return self._of(self._rows[index])
        return self._rows[index]

    def __repr__(self) -> str:
        return f"Examples(source={self.source!r}, n={len(self)})"

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [row.id for row in self._rows]

    def positions(self, ids: Sequence[str], *, ids_source: str = "ids") -> list[int]:
        """Find where examples stand.

        Args:
            ids: Ids of this set.
            ids_source: What a message calls the list.

        Returns:
            The positions, in the order of ``ids``.

        Raises:
            InputError: An id is unknown, or is in the list twice.
        """
        unknown = [one for one in ids if one not in self._position]
        for why, left_out in self.left_out.items():
            if found := [one for one in unknown if one in left_out]:
                raise InputError(
                    f"{ids_source}: {len(found)} of {len(ids)} ids are in {self.source}, but {why}: "
                    f"{_some(found)}",
                    hint="leave these ids out of the list, or do not exclude the rows from the start",
                )
        if unknown:
            raise InputError(
                f"{ids_source}: {len(unknown)} of {len(ids)} ids are not in {self.source}: {_some(unknown)}",
                hint=self._where_ids_come_from(),
            )
        twice = next((one for one, count in Counter(ids).items() if count > 1), None)
        if twice is not None:
            raise InputError(f"{ids_source}: id {twice!r} is there twice, expected every id once")
        return [self._position[one] for one in ids]

    def select(self, ids: Sequence[str], *, why: str | None = None) -> "Examples":
        """Give the examples of some ids; unknown and repeated ids are refused.

        Args:
            ids: In the order that is wanted.
            why: What a message says of the others when they are asked for. Default: that the source lacks
                them.

        Returns:
            The examples.
        """
        chosen = self._of([self._rows[position] for position in self.positions(ids)])
        if why is not None:
            chosen.left_out = {**self.left_out, why: frozenset(self._position) - frozenset(ids)}
        return chosen

    def without(self, ids: Sequence[str]) -> "Examples":
        """Give the other examples, in their order; unknown and repeated ids are refused."""
        left_out = set(self.positions(ids))
        return self._of([row for position, row in enumerate(self._rows) if position not in left_out])

    def row_hashes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Fingerprint every example by its content.

        Returns:
            int64 [n]: the first 8 bytes (little-endian) of the SHA-256 of the canonical JSON
            ``[id, text, text_pair, label]``, for an image with the SHA-256 of its file as the fifth: ASCII
            with escapes, no blanks; answers are ``[texts, starts]``.
        """
        digests = (
            hashlib.sha256(json.dumps(_content(row), separators=(",", ":")).encode("ascii")).digest()[:8]
            for row in self._rows
        )
        return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)

    def _of(self, rows: Sequence[Example]) -> "Examples":
        return Examples(
            rows,
            source=self.source,
            columns=self.columns,
            some_unanswerable=self.some_unanswerable,
            left_out=self.left_out,
        )

    def _where_ids_come_from(self) -> str:
        if self.columns.id is None:
            return f"{self.source} has no id column: its ids are the row numbers, from 0 to {len(self) - 1}"
        return f"the ids of {self.source} come from its column {self.columns.id!r}"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:SHOWN_IDS])) + (", …" if len(ids) > SHOWN_IDS else "")


def _content(row: Example) -> list[object]:
    label = astuple(row.label) if isinstance(row.label, Answers) else row.label
    image = [row.image.sha256] if row.image is not None else []
    return [row.id, row.text, row.text_pair, label, *image]
