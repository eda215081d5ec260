"""What each part of a recipe adds: the gap of every draw, by variant."""

import math
from collections.abc import Sequence
from statistics import fmean

from commands import Json
from draws_table import by_draw, by_method
from matplotlib.figure import Figure

from quality.rows import OTHER_SEED
from quality.tables import by_set
from quality.variants import Variant

WIDTH_OF_A_SET, HEIGHT_OF_A_VARIANT = 2.6, 0.3


def gaps_picture(rows: Sequence[Json], variants: Sequence[Variant]) -> Figure:
    """Draw a chart a set, a line a variant: a point a draw, a bar at their mean.

    Args:
        rows: Of all sets; further draws are left out.
        variants: From top to bottom.

    Returns:
        The figure; between two seeds the gap is a dashed line.
    """
    sets = by_set(row for row in rows if not row["further"])
    size = (2.5 + WIDTH_OF_A_SET * len(sets), 1.5 + HEIGHT_OF_A_VARIANT * len(variants))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    charts = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for axes, (title, of_set) in zip(charts, sets.items(), strict=True):
        groups = by_method(of_set)
        for height, variant in enumerate(variants):
            gaps = [
                gap for gap in by_draw(groups.get(variant.name, []), "gap").values() if not math.isnan(gap)
            ]
            axes.plot(gaps, [height] * len(gaps), "o", color="tab:blue", alpha=0.6, markersize=5)
            if gaps:
                axes.plot([fmean(gaps)], [height], "|", color="black", markersize=14)
        for row in groups.get(OTHER_SEED, []):
            axes.axvline(row["gap"], linestyle="--", color="grey")
        axes.set_title(title)
        axes.set_xlim(left=0)
        axes.set_xlabel("gap to RT, points")
        axes.grid(axis="x", alpha=0.3)
    charts[0].set_yticks(range(len(variants)), [variant.name for variant in variants])
    charts[0].invert_yaxis()
    return figure
