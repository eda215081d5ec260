"""The report as Markdown: the summary and the metrics, for a pull request or a ticket."""

from collections.abc import Sequence

from speu_cli.evaluation.report.contents import Contents
from speu_cli.evaluation.report.rows import Table, forgotten_table, metric_tables, settings_table
from speu_cli.evaluation.report.summary import summarize
from speu_cli.evaluation.report.visible import in_markdown, visible

LONGEST = 300


def markdown(contents: Contents) -> str:
    """Write the report as Markdown.

    Args:
        contents: Of the report.

    Returns:
        Text; what comes from the data is escaped.
    """
    summary = summarize(contents)
    parts = [
        "# What the model still knows",
        f"**{summary.verdict}.**",
        _items([f"{'met' if g.passed else 'NOT MET'}: {g.expression}: {g.reason}" for g in contents.gates]),
        "## What was asked and done",
        in_markdown(f"{summary.asked} {summary.done}"),
        "## What was found",
        _items(summary.findings),
        "## What this does not show",
        _items(summary.limits),
    ]
    for group, content in metric_tables(contents).items():
        parts += [f"## Metrics: {in_markdown(group)}", _table(content)]
    parts += ["## Forgotten rows", _table(forgotten_table(contents))]
    if contents.record:
        parts += ["## Settings and hashes", _table(settings_table(contents.record))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _items(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {in_markdown(visible(one, LONGEST))}" for one in sentences)


def _table(table: Table) -> str:
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    escaped = [[cell if cell == "---" else in_markdown(cell) for cell in line] for line in lines]
    note = f"\n\n{in_markdown(table.note)}" if table.note else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + note
