"""Metrics side by side, as text for a person."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speu_cli.evaluation.metric import Metric

NOT_COMPUTED = "not computed"
AS_THEY_ARE = ("loss.", "threshold_")  # these are no fractions


@dataclass(frozen=True)
class Table:
    """Cells ready to be laid out.

    Attributes:
        header: Titles of the columns.
        rows: One list of cells per row, each as long as the header.
    """

    header: list[str]
    rows: list[list[str]]


def table(
    model: Mapping[str, Metric],
    *,
    original: Mapping[str, Metric] | None = None,
    reference: Mapping[str, Metric] | None = None,
    gaps: Mapping[str, float] | None = None,
) -> Table:
    """Lay metrics side by side: original, model, reference, gap; a column that was not measured is left out.

    Args:
        model: Metrics of the model in question.
        original: Those of the model before the request.
        reference: Those of the model to be compared with.
        gaps: From `gaps`, in points: one for each metric that has one, and the average as the last row.

    Returns:
        Fractions and correlations as per cent with one decimal, losses with three, each with its interval.
    """
    sides = {"original": original, "model": model, "reference": reference}
    columns = {title: metrics for title, metrics in sides.items() if metrics is not None}
    rows = [[name, *(cell(name, column.get(name)) for column in columns.values())] for name in model]
    header = ["metric", *columns]
    if gaps is not None:
        header.append("gap")
        rows = [[*row, points(gaps[f"gap.{row[0]}"]) if f"gap.{row[0]}" in gaps else ""] for row in rows]
        if "gap.average" in gaps:
            rows.append(["gap.average", *("" for _ in columns), points(gaps["gap.average"])])
    return Table(header, rows)


def cell(name: str, metric: Metric | None) -> str:
    """Write a metric with its interval, in the unit that belongs to its name."""
    if metric is None or not math.isfinite(metric.value):
        return NOT_COMPUTED
    factor, decimals, unit = (1, 3, "") if name.startswith(AS_THEY_ARE) else (100, 1, " %")
    text = f"{_fixed(factor * metric.value, decimals)}{unit}"
    if not (math.isfinite(metric.low) and math.isfinite(metric.high)):
        return text
    return f"{text} [{_fixed(factor * metric.low, decimals)}, {_fixed(factor * metric.high, decimals)}]"


def points(gap: float) -> str:
    """Write a gap in points."""
    return _fixed(gap, 2) if math.isfinite(gap) else NOT_COMPUTED


def _fixed(x: float, decimals: int) -> str:
    return f"{x:z.{decimals}f}"  # z: no minus before a zero
