"""The chart of :mod:`growth`: time and memory, against the data and against the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

GIBIBYTE = 2**30
MARKERS = "os"


def draw(figures: Mapping[str, Sequence[Mapping[str, Any]]], output: Path) -> None:
    """Write the chart as PNG.

    Args:
        figures: Points of ``data`` and of ``model``.
        output: Where; its folder is made.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(9, 6), layout="constrained", facecolor="white")
    (data_time, model_time), (data_memory, model_memory) = figure.subplots(2, 2, sharex="col", sharey="row")
    data, model = figures["data"], figures["model"]
    for axes, which in ((data_time, _seconds), (data_memory, _gibibytes)):
        _lines(axes, [point["tokens"] / 1000 for point in data], data, which)
    for axes, which in ((model_time, _seconds), (model_memory, _gibibytes)):
        _lines(axes, [point["layers"] for point in model], model, which)
    data_time.set_title(f"more data, {data[0]['layers']} layers")
    model_time.set_title(f"more layers, {model[0]['tokens'] / 1000:.2g} thousand tokens")
    data_time.set_ylabel("time of a run, s")
    data_memory.set_ylabel("peak memory above the model, GiB")
    data_memory.set_xlabel("data, thousand tokens")
    model_memory.set_xlabel("layers of BERT-base")
    data_time.legend()
    for axes in figure.axes:
        # Only now that all lines are there: from here on the limits are fixed.
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    figure.savefig(output, dpi=120)


def _lines(axes: Axes, x: Sequence[float], points: Sequence[Mapping[str, Any]], which: Any) -> None:
    for marker, name in zip(MARKERS, points[0]["methods"], strict=True):
        axes.plot(x, [which(point["methods"][name]) for point in points], marker=marker, label=name)
    axes.set_xticks(x, [f"{value:.3g}" for value in x])
    axes.grid(alpha=0.3)


def _seconds(figures: Mapping[str, Any]) -> float:
    return float(figures["seconds"]["median"])


def _gibibytes(figures: Mapping[str, Any]) -> float:
    """Not a number where memory is not measured, which leaves the axes empty."""
    peak = figures["peak_memory_bytes"]
    return float("nan") if peak is None else peak / GIBIBYTE
