"""The study of recipes: how near `speu unlearn --recipe` comes to retraining, and which part does it."""

from collections.abc import Sequence

from commands import Json
from data_cuts import NoDataError
from outcome import Outcome
from place import Place
from settings import SETS, Setting

from quality.pictures import gaps_picture
from quality.rows import rows_of, statistics
from quality.sweep import sweep_picture, sweep_rows
from quality.tables import (
    bars_table,
    by_set,
    criterion_table,
    draw_table,
    gaps_table,
    noise_text,
    statistics_table,
)
from quality.variants import DEFAULT, DEFAULT_SO, PAPER, PAPER_SO, VARIANTS

NAMES = ("sst2", "qqp", "stsb", "squad1", "squad2")


def run(place: Place, target: str) -> Outcome:
    """Measure the recipes on every draw, and their variants on the first.

    Args:
        place: Where.
        target: Its name, for the title.

    Returns:
        The bars, the tables and the pictures.

    Raises:
        NoDataError: None of the sets that were asked for is one of the study.
    """
    setting = place.setting
    names = [name for name in place.asked_for(NAMES) if name in setting.sizes]
    if not names:
        raise NoDataError(f"no set of {target} was asked for: --sets takes {', '.join(NAMES)}")
    variants = [one for one in VARIANTS if not place.variants or one.label in place.variants]
    rows: list[Json] = []
    files: list[Json] = []
    ends: list[Json] = []
    for name in names:
        study = place.study(SETS[name])
        files += statistics(study, variants)
        rows += rows_of(study, variants, place.jobs)
        if name == setting.case_study:
            ends = sweep_rows(study, place.jobs)
    for row in (*rows, *ends) if place.jobs > 1 else ():
        for taken in ("seconds", "time_share"):  # of commands that slowed each other down
            row.pop(taken, None)
    model = setting.models[0].name
    outcome = Outcome(
        f"{target.capitalize()} of recipes, {model}", notes(setting, place.jobs), _tables(rows, files)
    )
    outcome.pictures["-gaps"] = gaps_picture(rows, variants)
    if ends:
        outcome.tables["The same step, ended sooner and later"] = draw_table(ends)
        outcome.pictures["-ends"] = sweep_picture(ends, SETS[setting.case_study].title)
    parts = {"draws": rows, "statistics": files, "ends": ends}
    outcome.rows = [{"part": part, "model": model, **row} for part, found in parts.items() for row in found]
    outcome.findings = [noise_text(rows)]
    return outcome


def notes(setting: Setting, jobs: int = 1) -> list[str]:
    """How it is measured."""
    alone = "" if jobs == 1 else f" {jobs} commands ran at a time, so their times are left out."
    return [
        f"{setting.forget} rows to forget in each of {setting.draws} draws of a set, which share none. U, R "
        "and T: the score on the forgotten, the remaining and the test rows; MIA: the fraction of forgotten "
        "rows that the attack calls members; all in percent. Gap: mean distance from RT in U, R, T and MIA, "
        "in points.",
        "AUC: the chance that a forgotten row is known better than a held-out one. Agreement, on the "
        "forgotten rows: rank correlation of the losses, and mean difference of the confidence, of model and "
        f"RT. Times are of whole processes.{alone} SPE-SO with 90 % frozen where nothing else is said.",
        "All but the recipes with names are measured on the first draw alone, and SO on draws of "
        f"{setting.forget} rows. "
        "A variant with a target for each row is written however other rows changed, with `width` at 1e9, "
        "but not where the forgotten rows do not look unseen; `default` is refused, or tries a further way, "
        "as for a user. Both are given the held-out rows, which no model was trained on. Class shift: the "
        "share of test rows to answer otherwise before each class is predicted as often as it is true.",
    ]


def _tables(rows: Sequence[Json], files: Sequence[Json]) -> dict[str, str]:
    """The summaries, then every draw."""
    tables = {
        "Bars: default": bars_table(rows, DEFAULT, DEFAULT_SO),
        "Bars: paper": bars_table(rows, PAPER, PAPER_SO),
        "Mean gap over the draws": gaps_table(rows),
        "What the criterion of default said": criterion_table(rows, DEFAULT),
        "Statistics": statistics_table(files),
    }
    for title, of_set in by_set(rows).items():
        for draw in dict.fromkeys(row["draw"] for row in of_set):
            tables[f"{title}, draw {draw}"] = draw_table([row for row in of_set if row["draw"] == draw])
    return tables
