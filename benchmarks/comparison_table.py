"""The comparison for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

MEBIBYTE = 2**20


def table_of(compared: Mapping[str, Any]) -> Table:
    """A row a method: time by the clock, memory, and how far F is from that of the loop."""
    title = f"{compared['subject']} ({compared['batches']} batches, {compared['tokens']} tokens)"
    table = Table(title=title, title_justify="left", caption=_CAPTION, caption_justify="left")
    table.add_column("method")
    for column in ("time ÷ plain", "min … max", "peak memory, MiB", "F differs by"):
        table.add_column(column, justify="right")
    for name, figures in compared["methods"].items():
        table.add_row(name, *([figures["absent"]] if "absent" in figures else _cells(figures)))
    return table


def _cells(figures: Mapping[str, Any]) -> list[str]:
    ratio = figures["ratio_to_plain"]["wall"]
    peak, difference = figures["peak_memory_bytes"], figures["difference_of_fisher"]
    return [
        f"{ratio['median']:.2f}",
        f"{ratio['min']:.2f} … {ratio['max']:.2f}",
        "not measured" if peak is None else f"{peak / MEBIBYTE:.0f}",
        "" if difference is None else f"{difference:.0e}",
    ]


_CAPTION = (
    "Time: median of the rounds, without what is done once a run. Memory: above the loaded model. F: against "
    "the loop's, relative to a tensor's largest entry. plain: gradients of all weights. speu: g, u and B "
    "beside F; with --mask F and g of a tenth of the units, drawn at random. kronfluence: its strategy "
    "'diagonal' with the data's labels, not sampled ones, and no files."
)
