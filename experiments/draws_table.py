"""Rows of single draws, by method: their columns, means and differences."""

import math
from collections.abc import Iterable, Sequence

from commands import Json
from over_draws import Interval, in_deviations, interval, paired

NOTHING = "–"


def by_method(rows: Iterable[Json]) -> dict[str, list[Json]]:
    """Group rows, each group in the order of its draws."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups


def by_draw(rows: Sequence[Json], name: str, scale: float = 1) -> dict[str, float]:
    """One number a draw; NaN where it was not measured."""
    return {row["draw"]: scale * row.get(name, math.nan) for row in rows}


def mean(rows: Sequence[Json], name: str, scale: float = 1) -> Interval | None:
    """The mean over the draws where it was measured."""
    values = [value for value in by_draw(rows, name, scale).values() if not math.isnan(value)]
    return interval(values) if values else None


def mean_text(rows: Sequence[Json], name: str, scale: float = 1, digits: int = 2) -> str:
    """A cell: mean ± half, and how many draws it lacks."""
    found = mean(rows, name, scale)
    if found is None:
        return NOTHING
    lacking = len(rows) - found.count
    return found.text(digits) + (f" ({lacking} refused)" if lacking and lacking != len(rows) else "")


def difference(one: Sequence[Json], other: Sequence[Json], name: str, scale: float = 1) -> Interval:
    """One − other, draw by draw, over the draws that both have."""
    ours, theirs = by_draw(one, name, scale), by_draw(other, name, scale)
    both = sorted(ours.keys() & theirs.keys())
    return paired([ours[draw] for draw in both], [theirs[draw] for draw in both])


def difference_text(one: Sequence[Json], other: Sequence[Json], name: str, scale: float = 1) -> str:
    """A cell: the difference and what it is called."""
    found = difference(one, other, name, scale)
    return NOTHING if found.count == 0 else f"{found.text(sign=True)}, {found.word}"


def of_noise(draws: int) -> str:
    """What a few draws, at least two, can tell."""
    return (
        f"Means of {draws} forget draws ± half of the 95 % t interval; a draw is compared with the model "
        "retrained without that draw. A difference is taken draw by draw, and called *inside the noise* "
        "where its interval holds 0. With so many draws the interval is "
        f"{in_deviations(draws):.1f} standard deviations to either side, so only a large and steady "
        "difference is told from none; and of twenty comparisons one lies outside by chance."
    )
