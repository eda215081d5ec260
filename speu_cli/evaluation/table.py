"""Metrics side by side, as text for a person."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speu_cli.evaluation.definitions.definition import Unit
from speu_cli.evaluation.definitions.lookup import unit_of
from speu_cli.evaluation.metric import Metric

NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class Table:
    """Cells ready to be laid out.

    Attributes:
        header: Titles of the columns.
        rows: One list of cells per row, each as long as the header.
        note: A sentence on what is not in it, or empty.
    """

    header: list[str]
    rows: list[list[str]]
    note: str = ""


def table(
    model: Mapping[str, Metric],
    *,
    original: Mapping[str, Metric] | None = None,
    reference: Mapping[str, Metric] | None = None,
    gaps: Mapping[str, float] | None = None,
    noise: Mapping[str, float] | None = None,
    inside: Mapping[str, bool | None] | None = None,
) -> Table:
    """Lay metrics side by side: original, model, reference, gap; a column that was not measured is left out.

    Args:
        model: Metrics of the model in question.
        original: Those of the model before the request.
        reference: Those of the model to be compared with.
        gaps: From `gaps`, in points: one for each metric that has one, and the average as the last row.
        noise: From `noise`, in points: a column beside the gaps.
        inside: From `inside_noise`: whether the gap is inside of it, beside the noise.

    Returns:
        Fractions and correlations as per cent with one decimal, losses with three, each with its
        interval; p-values with three digits.
    """
    sides = {"original": original, "model": model, "reference": reference}
    columns = {title: metrics for title, metrics in sides.items() if metrics is not None}
    rows = [[name, *(cell(name, column.get(name)) for column in columns.values())] for name in model]
    header = ["metric", *columns]
    if gaps is not None:
        if "gap.average" in gaps:
            rows.append(["gap.average", *("" for _ in columns)])
        header.append("gap")
        rows = [[*row, _points_of(gaps, f"gap.{_metric(row)}")] for row in rows]
        if noise is not None:
            header += ["noise", "inside"]
            told = {
                name: "yes" if found else "no" for name, found in (inside or {}).items() if found is not None
            }
            rows = [
                [*row, _points_of(noise, f"noise.{_metric(row)}"), told.get(_metric(row), "")] for row in rows
            ]
    return Table(header, rows)


def _metric(row: list[str]) -> str:
    return row[0].removeprefix("gap.")


def _points_of(found: Mapping[str, float], name: str) -> str:
    return points(found[name]) if name in found else ""


def cell(name: str, metric: Metric | None) -> str:
    """Write a metric with its interval, in the unit that belongs to its name."""
    if metric is None or not math.isfinite(metric.value):
        return NOT_COMPUTED
    unit = unit_of(name)
    value, low, high = (_shown(x, unit) for x in (metric.value, metric.low, metric.high))
    bounded = math.isfinite(metric.low) and math.isfinite(metric.high)
    return f"{value}{unit.sign} [{low}, {high}]" if bounded else f"{value}{unit.sign}"


def _shown(x: float, unit: Unit) -> str:
    return f"{x:.3g}" if unit.decimals is None else _fixed(10**unit.shown * x, unit.decimals)


def points(gap: float) -> str:
    """Write a gap in points."""
    return _fixed(gap, 2) if math.isfinite(gap) else NOT_COMPUTED


def _fixed(x: float, decimals: int) -> str:
    return f"{x:z.{decimals}f}"  # z: no minus before a zero
