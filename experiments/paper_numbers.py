"""What the paper prints, from ``paper_numbers.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("paper_numbers.toml")
COLUMNS = ("U", "MIA", "R", "T", "seconds")
COMPARED = ("U", "R", "T", "MIA")
PERCENT = 100


@dataclass(frozen=True)
class Printed:
    """A line of Tables 2 and 4 to 9.

    Attributes:
        values: By column: U, MIA, R and T in percent, seconds.
    """

    values: dict[str, float]

    def gap(self, aim: "Printed") -> float:
        """Mean distance in U, R, T and MIA, in points: the paper prints its parts only."""
        return sum(abs(self.values[name] - aim.values[name]) for name in COMPARED) / len(COMPARED)


@cache
def numbers() -> dict[str, Any]:
    """All of the file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def lines_of(table: str, which: str) -> dict[str, Printed]:
    """Read a part of Tables 2 and 4 to 9.

    Args:
        table: Such as ``table2``.
        which: The model; of Table 9 the data set.

    Returns:
        A line a method.
    """
    found = {}
    for method, printed in numbers()[table][which].items():
        values = dict(zip(COLUMNS, map(float, printed), strict=True))
        values["MIA"] *= PERCENT  # a fraction there
        found[method] = Printed(values)
    return found
