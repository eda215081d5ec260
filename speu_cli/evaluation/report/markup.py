"""Lists and tables in Markdown, from text that may hold anything."""

from collections.abc import Sequence

from speu_cli.evaluation.report.visible import in_markdown, visible
from speu_cli.evaluation.table import Table

LONGEST = 300


def items(sentences: Sequence[str]) -> str:
    """Write sentences as a list, escaped."""
    return "\n".join(f"- {in_markdown(visible(one, LONGEST))}" for one in sentences)


def table(content: Table) -> str:
    """Write a table, escaped."""
    lines = [content.header, ["---"] * len(content.header), *content.rows]
    escaped = [[cell if cell == "---" else in_markdown(cell) for cell in line] for line in lines]
    note = f"\n\n{in_markdown(content.note)}" if content.note else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + note
