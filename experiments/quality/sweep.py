"""What forgetting costs: one draw, several ends of the paper's step, and targets for each row beside it."""

from collections.abc import Sequence
from dataclasses import replace

from commands import REFUSED, Json, at_once
from matplotlib.figure import Figure
from over_draws import interval
from panels import SCORES, Panels
from paper_numbers import PERCENT
from study import ORIGINAL, RETRAINED, Study

from quality.rows import Draw
from quality.variants import EACH_ROW, PAPER, PAPER_SO, Variant

OF_RT = (0.5, 0.75, 1.0, 1.5)  # target losses, in forget losses of the retrained model
RANDOM = replace(PAPER, name="paper, random mask", label="paper-random", options=("--objective", "random"))
LINES = (PAPER_SO, RANDOM, PAPER)
BY_HELD = "each row, none to 256 held"
CHARTS = {**SCORES, "class_shift": "class shift, % of test rows"}


def sweep_rows(study: Study, jobs: int = 1) -> list[Json]:
    """Serve the first draw along one direction to several losses, and with a target for each row.

    Args:
        study: The set.
        jobs: How many commands run at once.

    Returns:
        The original and the retrained model, and every point; ``line`` says to which line it belongs.
    """
    draw = Draw(study, study.draws[0])
    lines: list[tuple[str, Variant, tuple[str, ...]]] = []
    for variant in LINES:
        for part in OF_RT:
            name, label = f"{variant.name} at {part:g} of RT's loss", f"{variant.label}-at-{part:g}"
            target = ("--target-loss", str(part * draw.aim["loss"]))
            lines.append((variant.name, replace(variant, name=name, label=label), target))
    lines += [(BY_HELD, variant, ()) for variant in EACH_ROW]
    rows = [{**row, "line": row["method"]} for row in draw.references()[:2]]
    rows += at_once(
        jobs,
        lambda point: {**draw.served(point[1].way(study), *point[2]), "line": point[0]},
        lines,
    )
    return rows


def sweep_picture(rows: Sequence[Json], title: str) -> Figure:
    """Scores and class shift against the forget loss, RT and the original as levels."""
    panels = Panels(title, "forget loss", CHARTS)
    for score in CHARTS:
        for line in (*(one.name for one in LINES), BY_HELD):
            there = [row for row in rows if row["line"] == line and REFUSED not in row]
            found = sorted((row["loss"], interval([PERCENT * row[score]])) for row in there)
            panels.line(score, line, found)
    for method in (RETRAINED, ORIGINAL):
        row = next(row for row in rows if row["line"] == method)
        panels.level(method, {score: interval([PERCENT * row[score]]) for score in CHARTS})
    return panels.finished()
