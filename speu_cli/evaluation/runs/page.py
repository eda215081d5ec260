"""A comparison as one page that needs nothing else: no script, nothing fetched."""

from collections.abc import Sequence

from speu_cli.evaluation.report.defined import anchors
from speu_cli.evaluation.report.drawing import Drawing
from speu_cli.evaluation.report.rendering import render
from speu_cli.evaluation.runs.contents import Contents


def page(contents: Contents, drawings: Sequence[Drawing]) -> str:
    """Write the page.

    Args:
        contents: Of the comparison.
        drawings: Its figures.

    Returns:
        HTML.
    """
    columns = {name: anchors(named) for name, named in contents.columns.items()}
    return render("comparison.html.j2", contents=contents, figures=drawings, columns=columns)
