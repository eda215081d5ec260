"""The report as Markdown: the summary and the metrics, for a pull request or a ticket."""

from speu_cli.evaluation.report.attacked import attack_table
from speu_cli.evaluation.report.contents import Contents
from speu_cli.evaluation.report.markup import items, table
from speu_cli.evaluation.report.rows import forgotten_table, metric_tables, settings_table
from speu_cli.evaluation.report.summary import summarize
from speu_cli.evaluation.report.visible import in_markdown


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
        items([f"{'met' if g.passed else 'NOT MET'}: {g.expression}: {g.told}" for g in contents.gates]),
        "## What was asked and done",
        in_markdown(f"{summary.asked} {summary.done}"),
        "## What was found",
        items(summary.findings),
        "## What this does not show",
        items(summary.limits),
    ]
    for group, content in metric_tables(contents).items():
        parts += [f"## Metrics: {in_markdown(group)}", table(content)]
    if (attacks := attack_table(contents)) is not None:
        parts += ["## Attacks", table(attacks)]
    parts += ["## Forgotten rows", table(forgotten_table(contents))]
    if contents.record:
        parts += ["## Settings and hashes", table(settings_table(contents.record))]
    return "\n\n".join(part for part in parts if part) + "\n"
