"""A comparison as Markdown: for a pull request or a paper's notes."""

from speu_cli.evaluation.report.markup import LONGEST, items, table
from speu_cli.evaluation.report.visible import in_markdown, visible
from speu_cli.evaluation.runs.contents import Contents


def markdown(contents: Contents) -> str:
    """Write a comparison as Markdown.

    Args:
        contents: Of the comparison.

    Returns:
        Text; what comes from the runs is escaped.
    """
    parts = [
        "# Unlearned models side by side",
        in_markdown(visible(f"{contents.measured} {contents.closest}", LONGEST)),
        items(contents.notes),
    ]
    for name, content in contents.tables.items():
        parts += [f"## {name.capitalize()}", table(content)]
    parts += ["## What this does not show", items(contents.limits)]
    if contents.definitions:
        parts += ["## Definitions", items([f"{one.pattern}: {one.sentence}" for one in contents.definitions])]
    return "\n\n".join(part for part in parts if part) + "\n"
