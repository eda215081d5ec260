"""How much may stay frozen, and which kind of unit moves: the paper's Figures 2, 3 and 5.

Every step ends at one forget loss, that of the model retrained without the draw, so that scores are compared
at equal forgetting. Sparsity 0 is SO.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from commands import Json
from draws_table import by_method, difference, difference_text, mean, mean_text, of_noise
from matplotlib.figure import Figure
from outcome import Outcome, table
from panels import SCORES, Panels
from paper_numbers import PERCENT
from place import Place
from settings import SETS, Setting
from study import ORIGINAL, RETRAINED, Study, step

KINDS = {"both": "heads and filters", "heads": "heads alone", "filters": "filters alone"}
FIGURE_5 = ("qqp", "sst2", "stsb", "squad1", "squad2")
CHOSEN, HIGHEST = 0.9, 0.99


@dataclass(frozen=True)
class Sweep:
    """A line of a figure.

    Attributes:
        kinds: Units that the mask chooses among.
        sparsities: Where it is measured.
    """

    kinds: str
    sparsities: tuple[float, ...]

    def name(self, sparsity: float) -> str:
        """Of a point."""
        return f"{self.kinds} {sparsity:g}"


def run(place: Place, target: str) -> Outcome:
    """Measure a figure.

    Args:
        place: Where.
        target: ``figure2``, ``figure3`` or ``figure5``.

    Returns:
        A table and a picture of each set.
    """
    setting = place.setting
    names = place.asked_for(FIGURE_5) if target == "figure5" else [setting.case_study]
    model = setting.kinds_model if target == "figure3" else setting.models[0]
    titles = ", ".join(SETS[name].title for name in names)
    outcome = Outcome(
        f"Figure {target.removeprefix('figure')}: {titles}, {model.name}",
        [
            f"{setting.forget} rows to forget; every step ends at the forget loss of the retrained model. "
            "U, R and T: the score on the forgotten, the remaining and the test rows, in percent.",
            *([] if target == "figure5" else setting.stand_in()),
            of_noise(setting.draws),
        ],
    )
    for name in names:
        one = SETS[name]
        study = place.study(one, model)
        rows = rows_of(study, sweeps(setting, target))
        outcome.tables[one.title] = sweep_table(rows)
        outcome.pictures[f"-{name}" if len(names) > 1 else ""] = picture(
            rows, sweeps(setting, target), one.title
        )
        told = kinds_findings(rows, setting) if target == "figure3" else sparsity_findings(rows, setting)
        outcome.findings += [f"{one.title}: {found}" for found in told]
        outcome.rows += [{"model": model.name, "set": name, **row} for row in rows]
    return outcome


def sweeps(setting: Setting, target: str) -> list[Sweep]:
    """The lines of a figure."""
    if target == "figure3":
        return [Sweep(kinds, setting.kinds_sparsities) for kinds in KINDS]
    return [Sweep("both", setting.sparsities)]


def rows_of(study: Study, lines: Sequence[Sweep]) -> list[Json]:
    """The original, the retrained model, and every point of every line, on each draw."""
    rows: list[Json] = []
    for draw in study.draws:
        rows += study.reference_rows(draw)
        for line in lines:
            for sparsity in line.sparsities:
                served = study.served_row(draw, step(sparsity, line.kinds, at_reference=True))
                point = {"method": line.name(sparsity), "kinds": line.kinds, "sparsity": sparsity}
                rows.append({**served, **point})
    return rows


def sweep_table(rows: Sequence[Json]) -> str:
    """One line a point; T beside the retrained model's, draw by draw."""
    groups = by_method(rows)
    lines = []
    for method, group in groups.items():
        cells = [method, *(mean_text(group, name, PERCENT) for name in "URT")]
        against = difference_text(group, groups[RETRAINED], "T", PERCENT) if method != RETRAINED else ""
        lines.append([*cells, mean_text(group, "loss", digits=3), against])
    return table(["units, sparsity", "U", "R", "T", "forget loss", "T − RT's"], lines)


def sparsity_findings(rows: Sequence[Json], setting: Setting) -> list[str]:
    """The paper: utility holds up to 90 %, and falls sharply above; not all parameters should move."""
    groups = by_method(rows)
    found = []
    for one, other, paper in (
        (CHOSEN, 0, "holds or is better"),
        (HIGHEST, CHOSEN, "falls sharply"),
        (0.5, 0, "is better"),
    ):
        if {one, other} <= set(setting.sparsities):
            points = (groups[f"both {one:g}"], groups[f"both {other:g}"])
            told = difference_text(*points, "T", PERCENT)
            found.append(f"T at sparsity {one:.0%} less T at {other:.0%}: {told}. In the paper it {paper}.")
    return found


def kinds_findings(rows: Sequence[Json], setting: Setting) -> list[str]:
    """The paper: filters alone are the most stable, heads alone fall behind on the remaining rows."""
    groups = by_method(rows)
    found = []
    for one, other in (("filters", "heads"), ("filters", "both"), ("heads", "both")):
        for name in SCORES:
            differences = [
                difference(groups[f"{one} {sparsity:g}"], groups[f"{other} {sparsity:g}"], name)
                for sparsity in setting.kinds_sparsities
            ]
            above = sum(each.mean > 0 for each in differences)
            apart = sum(each.told_apart for each in differences)
            found.append(
                f"{name} of {KINDS[one]} is above that of {KINDS[other]} at {above} of {len(differences)} "
                f"sparsities; {apart} of the differences are outside the noise."
            )
    found.append("In the paper filters alone are the best and most stable; heads alone lose R.")
    return found


def picture(rows: Sequence[Json], lines: Sequence[Sweep], title: str) -> Figure:
    """Scores against sparsity, RT and the original as levels."""
    groups = by_method(rows)
    panels = Panels(title, "sparsity, %")
    for score in SCORES:
        for line in lines:
            points = [(PERCENT * s, mean(groups[line.name(s)], score, PERCENT)) for s in line.sparsities]
            panels.line(score, KINDS[line.kinds], [(x, found) for x, found in points if found is not None])
    for method in (RETRAINED, ORIGINAL):
        panels.level(method, {score: mean(groups[method], score, PERCENT) for score in SCORES})
    return panels.finished()
