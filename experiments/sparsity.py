"""How much may stay frozen, and which kind of unit moves: the paper's Figures 2, 3 and 5.

Every step ends at one forget loss, that of the model retrained without the draw, so that scores are compared
at equal forgetting. Sparsity 0 is SO.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from commands import Json
from draws_table import by_method, difference, difference_text, mean, mean_text, of_noise
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from outcome import Outcome, table
from paper_numbers import PERCENT
from settings import SETS, Setting
from study import ORIGINAL, RETRAINED, Place, Study, step

KINDS = {"both": "heads and filters", "heads": "heads alone", "filters": "filters alone"}
SCORES = {"R": "remaining rows", "T": "test rows"}
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
    names = FIGURE_5 if target == "figure5" else (setting.case_study,)
    model = setting.kinds_model if target == "figure3" else setting.models[0]
    titles = ", ".join(SETS[name].title for name in names)
    outcome = Outcome(
        f"Figure {target.removeprefix('figure')}: {titles}, {model.name}",
        [
            f"{setting.forget} rows to forget; every step ends at the forget loss of the retrained model. "
            "U, R and T: the score on the forgotten, the remaining and the test rows, in percent.",
            *_stand_in(target, setting),
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


def _stand_in(target: str, setting: Setting) -> list[str]:
    if target == "figure5" or setting.case_study == "mnli":
        return []
    return [f"The paper's figure is of MNLI: {SETS[setting.case_study].title} stands in, on a smaller model."]


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
    """Scores against sparsity: means with their intervals, RT and the original as levels."""
    groups = by_method(rows)
    figure = Figure(figsize=(9, 4), layout="constrained", facecolor="white")
    panels: Sequence[Axes] = figure.subplots(1, 2)
    for axes, (score, told) in zip(panels, SCORES.items(), strict=True):
        for line in lines:
            _line(axes, line, groups, score)
        for method, style in ((RETRAINED, "--"), (ORIGINAL, ":")):
            level = mean(groups[method], score, PERCENT)
            if level is not None:
                axes.axhline(level.mean, linestyle=style, color="grey", label=method)
        axes.set_title(f"{title}: score on {told}, %")
        axes.set_xlabel("sparsity, %")
        axes.grid(alpha=0.3)
    panels[0].legend()
    return figure


def _line(axes: Axes, line: Sweep, groups: Mapping[str, Sequence[Json]], score: str) -> None:
    points = [(s, mean(groups[line.name(s)], score, PERCENT)) for s in line.sparsities]
    there = [(PERCENT * sparsity, found) for sparsity, found in points if found is not None]
    axes.errorbar(
        [sparsity for sparsity, _ in there],
        [found.mean for _, found in there],
        yerr=[found.half if found.count > 1 else 0 for _, found in there],
        marker="o",
        capsize=3,
        label=KINDS[line.kinds],
    )
