"""Fields of a JSON object that came from elsewhere, each of the type that is asked for."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.report.visible import visible

T = TypeVar("T")
LONGEST = 40
LARGEST = 2**63  # of whole numbers; JSON itself knows no end


@dataclass(frozen=True)
class Fields:
    """A JSON object.

    Attributes:
        source: Where it comes from: messages name it.
        values: What is in it.
        place: Which part of the source it is, empty for the whole.
    """

    source: str
    values: Mapping[str, object]
    place: str = ""

    def text(self, name: str) -> str:
        """Take a text."""
        return self._of(name, str, "a text")

    def flag(self, name: str) -> bool:
        """Take true or false."""
        return self._of(name, bool, "true or false")

    def count(self, name: str) -> int:
        """Take a whole number of at least 0."""
        value = self._of(name, int, "a whole number")
        if isinstance(value, bool) or not 0 <= value < LARGEST:
            raise self._odd(name, "a whole number of at least 0")
        return value

    def count_or_none(self, name: str) -> int | None:
        """Take a whole number of at least 0, or null, which may be left out."""
        return None if self.values.get(name) is None else self.count(name)

    def number(self, name: str) -> float:
        """Take a finite number; NaN for null, which stands for what was not computed."""
        value = self._get(name)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise self._odd(name, "a finite number or null")
        return float(value)

    def inside(self, name: str) -> "Fields":
        """Take an object."""
        return Fields(self.source, self._of(name, dict, "an object"), self._path(name))

    def inside_or_none(self, name: str) -> "Fields | None":
        """Take an object, or null."""
        return None if self._get(name) is None else self.inside(name)

    def items(self, name: str) -> "Iterator[Fields]":
        """Take a list of objects, one by one."""
        numbered = {str(number): one for number, one in enumerate(self._of(name, list, "a list"))}
        for number in numbered:
            yield Fields(self.source, numbered, self._path(name)).inside(number)

    def _of(self, name: str, kind: type[T], expected: str) -> T:
        value = self._get(name)
        if not isinstance(value, kind):
            raise self._odd(name, expected)
        return value

    def _get(self, name: str) -> object:
        if name not in self.values:
            raise self.refused(f"there is no {self._path(name)}")
        return self.values[name]

    def _odd(self, name: str, expected: str) -> ArtifactError:
        shown = visible(json.dumps(self.values[name]), LONGEST)
        return self.refused(f"{self._path(name)} is {shown}, expected {expected}")

    def _path(self, name: str) -> str:
        return visible(f"{self.place}.{name}" if self.place else name, 2 * LONGEST)

    def refused(self, why: str) -> ArtifactError:
        """Make the error that refuses the source."""
        return ArtifactError(f"{self.source}: {why}", hint="take the file as speu --json printed it")
