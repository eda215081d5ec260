"""The colours of the figures: of a light page, each once, so that a page can put its own in their place."""

from typing import Any

INK, MUTED, GRID, PAPER, PANEL = "#1f2329", "#57606b", "#d3d9e1", "#fefefe", "#eef1f5"
BEFORE, AFTER, RETRAINED = "#9a5b02", "#0b5fc1", "#6f3fa3"
# Name of the custom property of the page that stands for each.
PROPERTIES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    PANEL: "--panel",
    BEFORE: "--before",
    AFTER: "--after",
    RETRAINED: "--retrained",
}
STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": PAPER,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.edgecolor": GRID,
    "legend.facecolor": PAPER,
    "legend.fontsize": 8,
    "legend.framealpha": 0.9,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
