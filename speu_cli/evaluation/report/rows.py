"""The tables of a report: metrics by group, forgotten rows one by one, settings."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from speu_cli.evaluation.report.contents import FORGET, MODEL, SETS, Contents
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.table import NOT_COMPUTED, Table, cell, points

MOST_ROWS = 1000
LONGEST_ID, LONGEST_TEXT, LONGEST_VALUE = 64, 160, 160
SCORES = "scores"
_OF_SETS = ("unlearning_", "remaining_", "testing_")


def metric_tables(contents: Contents) -> dict[str, Table]:
    """Lay out all metrics by group: the scores, then what the names begin with.

    Args:
        contents: Of the report.

    Returns:
        A table by group, models side by side, each metric with its interval and its gap if it has one, and
        of several retrained models the distance between two.
    """
    names = dict.fromkeys(name for metrics in contents.metrics.values() for name in metrics)
    groups: dict[str, Table] = {}
    gaps = contents.gaps or {}
    with_gaps = {_group(name) for name in names if f"gap.{name}" in gaps}
    for name in names:
        group = _group(name)
        header, row = ["metric", *contents.metrics], [name]
        row += [cell(name, contents.metric(model, name)) for model in contents.metrics]
        if group in with_gaps:
            header.append("gap in points")
            row.append(points(gaps[f"gap.{name}"]) if f"gap.{name}" in gaps else "no gap")
            if contents.noise is not None:
                header.append("noise in points")
                row.append(
                    points(contents.noise[f"noise.{name}"]) if f"noise.{name}" in contents.noise else ""
                )
        groups.setdefault(group, Table(header, [])).rows.append(row)
    return dict(sorted(groups.items(), key=lambda item: item[0] != SCORES))


def _group(name: str) -> str:
    head, _, tail = name.partition(".")
    of_one_set = tail in SETS and head != "loss"
    return SCORES if name.startswith(_OF_SETS) or of_one_set else head


def forgotten_table(contents: Contents) -> Table:
    """List the forgotten rows, those that the model still knows best first.

    Args:
        contents: Of the report; texts are in the table only where it says so.

    Returns:
        Ids, losses of every model, confidences of the model; the first thousand.
    """
    examples = contents.sets[FORGET]
    outcomes = {name: contents.outcomes[name][FORGET] for name in contents.metrics}
    # A loss that is not a number says nothing of what is known: last.
    order = np.argsort(outcomes[MODEL].losses, kind="stable")
    shown = [int(position) for position in order[:MOST_ROWS]]
    header = ["id", *(f"loss, {name}" for name in outcomes), *(f"confidence, {name}" for name in outcomes)]
    rows = []
    for position in shown:
        numbers = [float(one.losses[position]) for one in outcomes.values()]
        numbers += [float(one.confidences[position]) for one in outcomes.values()]
        text = [visible(examples[position].text, LONGEST_TEXT)] if contents.show_text else []
        rows.append([visible(examples[position].id, LONGEST_ID), *map(_number, numbers), *text])
    left = len(examples) - len(shown)
    note = f"The other {left:,} rows, with higher losses, are left out." if left else ""
    return Table([*header, *(["text"] if contents.show_text else [])], rows, note)


def settings_table(record: Mapping[str, object]) -> Table:
    """List everything that a checkpoint records of itself."""
    rows = [[visible(name, LONGEST_VALUE), visible(value, LONGEST_VALUE)] for name, value in _leaves(record)]
    return Table(["setting", "value"], rows)


def _leaves(record: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else NOT_COMPUTED
