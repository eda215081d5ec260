"""The tables of the study."""

import math
from collections.abc import Iterable, Sequence

from commands import REFUSED, Json
from draws_table import NOTHING, by_method, mean_text
from outcome import table
from paper_numbers import PERCENT
from settings import SETS
from study import COMPARED, RETRAINED

from quality.bars import BARS, compared
from quality.rows import OTHER_SEED
from quality.variants import Variant

MEGABYTE = 1e6


def by_set(rows: Iterable[Json]) -> dict[str, list[Json]]:
    """Group rows by the title of their set."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(SETS[row["set"]].title, []).append(row)
    return groups


def bars_table(rows: Sequence[Json], chosen: Variant, on_all: Variant) -> str:
    """One line a bar: over all sets, and on each."""
    groups = {"all sets": rows, **by_set(rows)}
    found = {title: compared(group, chosen, on_all) for title, group in groups.items()}
    lines = [[bar, *(str(verdict(of)) for of in found.values())] for bar, verdict in BARS.items()]
    return table(["bar", *found], lines)


def gaps_table(rows: Sequence[Json]) -> str:
    """One line a method: the mean gap on each set, without the further draws."""
    sets = by_set(row for row in rows if not row["further"])
    groups = {title: by_method(of_set) for title, of_set in sets.items()}
    methods = [method for method in by_method(rows) if method != RETRAINED]
    lines = [
        [method, *(mean_text(group.get(method, []), "gap") for group in groups.values())]
        for method in methods
    ]
    return table(["method", *groups], lines)


def draw_table(rows: Sequence[Json]) -> str:
    """One line a method, of one draw."""
    lines = []
    for row in rows:
        scores = [_number(row, name, 2, PERCENT) for name in (*COMPARED, "class_shift")]
        nearness = [_number(row, "gap", 2), _number(row, "loss", 3), _number(row, "heldout_auc", 3)]
        nearness += [_number(row, "auc_off", 3, sign=True)]
        agreement = [_number(row, name, 3) for name in ("rank", "confidence")]
        share = f"1/{1 / row['time_share']:.0f}" if "time_share" in row else ""
        name = f"{row['method']} (refused)" if REFUSED in row else row["method"]
        lines.append([name, *scores, *nearness, *agreement, _number(row, "seconds", 0), share])
    heads = ["method", *COMPARED, "class shift", "gap", "forget loss", "AUC", "AUC − RT's", "rank agreement"]
    return table([*heads, "confidence difference", "time, s", "of retraining"], lines)


def criterion_table(rows: Sequence[Json], variant: Variant) -> str:
    """What each request of a recipe found before it was written; empty if no recipe told."""
    of_variant = [row for row in rows if row["method"] == variant.name]
    names = sorted({name for row in of_variant for name in row if name.startswith("criterion.")})
    lines = []
    for row in of_variant:
        told = "refused" if REFUSED in row else row.get("note") or ""
        values = [_number(row, name, 3) for name in names]
        lines.append([SETS[row["set"]].title, row["draw"], *values, told.replace("|", "/")])
    heads = [name.removeprefix("criterion.") for name in names]
    return table(["set", "draw", *heads, "note"], lines)


def statistics_table(rows: Sequence[Json]) -> str:
    """One line a file."""
    lines = [
        [
            SETS[row["set"]].title,
            row["method"].removeprefix("statistics, "),
            f"{row['bytes'] / MEGABYTE:.0f}",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return table(["set", "statistics", "MB", "time, s"], lines)


def noise_text(rows: Iterable[Json]) -> str:
    """The gap between two seeds on each set, in a sentence."""
    told = (f"{SETS[row['set']].title} {row['gap']:.2f}" for row in rows if row["method"] == OTHER_SEED)
    return f"Gap of two models retrained without draw a from different seeds: {', '.join(told)}."


def _number(row: Json, name: str, digits: int, scale: float = 1, *, sign: bool = False) -> str:
    value = row.get(name)
    if value is None or math.isnan(value):
        return NOTHING
    return f"{scale * value:{'+' if sign else ''}.{digits}f}"
