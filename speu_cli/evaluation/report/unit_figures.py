"""Figures of layers: which units could change, and where the weights moved."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from speu_cli.evaluation.report.contents import Flags
from speu_cli.evaluation.report.drawing import Drawing
from speu_cli.evaluation.report.movement import Movement
from speu_cli.evaluation.report.palette import AFTER, PANEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 16


def of_mask(selected: Mapping[str, Flags] | None) -> Iterator[Drawing]:
    """Draw which heads could change, and how many filters of each layer.

    Args:
        selected: Flags of units by group, ``heads/0`` …; None if they are not known.

    Yields:
        A figure of each kind that there is.
    """
    heads, filters = (_by_layer(selected or {}, kind) for kind in ("heads", "filters"))
    if heads:
        count = sum(int(flags.sum()) for flags in heads.values())
        places = "; ".join(
            f"layer {layer} number {_numbers(flags)}" for layer, flags in heads.items() if flags.any()
        )
        which = f": of {places}" if places else ""
        said = f"{count} of {sum(map(len, heads.values()))} attention heads could change{which}."
        draw = partial(_draw_heads, heads)
        yield Drawing("mask-heads", "Heads that could change", said, draw, _height(heads))
    if filters:
        counts = {layer: int(flags.sum()) for layer, flags in filters.items()}
        layers = ", ".join(f"layer {layer} {count}" for layer, count in counts.items())
        total = sum(map(len, filters.values()))
        said = f"{sum(counts.values())} of {total} filters could change: {layers}."
        draw = partial(_draw_counts, counts)
        yield Drawing("mask-filters", "Filters that could change", said, draw, _height(filters))


def of_movement(movement: Sequence[Movement] | None) -> Iterator[Drawing]:
    """Draw how far each module of each layer moved.

    Args:
        movement: By module; None if it is not known.

    Yields:
        The figure, if a module of a layer is among them.
    """
    inside = [one for one in movement or () if one.layer is not None]
    kinds = list(dict.fromkeys(one.kind for one in inside))
    if not kinds:
        return
    most = max(inside, key=lambda one: one.relative if math.isfinite(one.relative) else -1)
    said = (
        f"Distance from the model before, relative to its norm, by layer and module. The largest is "
        f"{100 * most.relative:.2g} % in layer {most.layer}, {most.kind}. The table has every number."
    )
    draw = partial(_draw_movement, inside, kinds)
    yield Drawing("movement", "Where the weights moved", said, draw, _height(kinds))


def _height(rows: Sequence[object] | Mapping[int, object]) -> float:
    return min(9.0, 1.5 + 0.22 * len(rows))


def _by_layer(selected: Mapping[str, Flags], kind: str) -> dict[int, Flags]:
    numbered = {int(key.rpartition("/")[2]): flags for key, flags in selected.items() if key.startswith(kind)}
    return dict(sorted(numbered.items()))


def _numbers(flags: Flags) -> str:
    return ", ".join(str(number) for number in np.flatnonzero(flags))


def _draw_heads(heads: Mapping[int, Flags], axes: "Axes") -> None:
    width = max(map(len, heads.values()))
    for layer, flags in heads.items():
        axes.broken_barh([(0, len(flags))], (layer - 0.45, 0.9), color=PANEL)
        chosen = [(int(number) + 0.05, 0.9) for number in np.flatnonzero(flags)]
        axes.broken_barh(chosen, (layer - 0.4, 0.8), color=AFTER)
    shown = range(0, width, max(1, math.ceil(width / MOST_TICKS)))
    axes.set_xticks([number + 0.5 for number in shown], list(map(str, shown)))
    axes.set(xlabel="head", ylabel="layer", xlim=(0, width))
    axes.grid(visible=False)
    _layers(axes, list(heads))


def _draw_counts(counts: Mapping[int, int], axes: "Axes") -> None:
    bars = axes.barh(list(counts), list(counts.values()), color=AFTER)
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.set(xlabel="filters that could change", ylabel="layer")
    axes.margins(x=0.15)
    axes.grid(visible=False, axis="y")
    _layers(axes, list(counts))


def _layers(axes: "Axes", layers: list[int]) -> None:
    axes.set_yticks(layers[:: max(1, math.ceil(len(layers) / MOST_TICKS))])
    axes.set_ylim(max(layers) + 0.6, min(layers) - 0.6)


def _draw_movement(inside: Sequence[Movement], kinds: list[str], axes: "Axes") -> None:
    finite = [one for one in inside if math.isfinite(one.relative)]
    largest = max((one.relative for one in finite), default=0.0) or 1.0
    for one in finite:
        row, layer = kinds.index(one.kind), one.layer or 0
        axes.broken_barh([(layer - 0.45, 0.9)], (row - 0.45, 0.9), color=PANEL)
        if one.relative:
            shade = 0.15 + 0.85 * one.relative / largest
            axes.broken_barh([(layer - 0.45, 0.9)], (row - 0.45, 0.9), color=AFTER, alpha=shade)
    layers = sorted({one.layer or 0 for one in inside})
    axes.set_xticks(layers[:: max(1, math.ceil(len(layers) / MOST_TICKS))])
    axes.set_yticks(range(len(kinds)), kinds, fontsize=7)
    axes.set(xlabel=f"layer; strongest: {100 * largest:.2g} %")
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.grid(visible=False)
