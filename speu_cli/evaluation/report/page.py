"""The report as one page that needs nothing else: no script, nothing fetched."""

from collections.abc import Sequence

from speu_cli.evaluation.report.attacked import attack_table
from speu_cli.evaluation.report.contents import FORGET, REMAINING, TEST, Contents
from speu_cli.evaluation.report.defined import anchors, definitions
from speu_cli.evaluation.report.drawing import Drawing
from speu_cli.evaluation.report.movement import Movement
from speu_cli.evaluation.report.rendering import render
from speu_cli.evaluation.report.rows import forgotten_table, metric_tables, settings_table
from speu_cli.evaluation.report.summary import summarize
from speu_cli.evaluation.table import Table


def page(contents: Contents, drawings: Sequence[Drawing]) -> str:
    """Write the page.

    Args:
        contents: Of the report.
        drawings: Its figures.

    Returns:
        HTML.
    """
    by_group: dict[str, list[Drawing]] = {}
    for drawing in drawings:
        by_group.setdefault(drawing.name.partition("-")[0], []).append(drawing)
    return render(
        "page.html.j2",
        contents=contents,
        summary=summarize(contents),
        counts={place: len(contents.sets[place]) for place in (FORGET, REMAINING, TEST)},
        metrics=metric_tables(contents),
        average_gap=(contents.gaps or {}).get("gap.average"),
        figures=by_group,
        movement=movement_table(contents.known.movement or ()),
        forgotten=forgotten_table(contents),
        settings=settings_table(contents.record) if contents.record else None,
        attacks=attack_table(contents),
        definitions=definitions(contents.definitions),
        anchors=anchors(contents.definitions),
    )


def movement_table(movement: Sequence[Movement]) -> Table:
    """List how far each module moved, in per cent of its norm."""
    rows = [
        [
            one.kind,
            "none" if one.layer is None else str(one.layer),
            f"{one.distance:.3g}",
            _percent(one.relative),
        ]
        for one in movement
    ]
    return Table(["module", "layer", "distance", "of its norm"], rows)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
