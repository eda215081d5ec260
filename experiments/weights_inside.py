"""SPE-SO with and without a choice of weights inside the units, by Wanda: the paper's Table 9."""

from commands import Json
from data_cuts import NoDataError
from draws_table import by_method, difference, difference_text, mean_text, of_noise
from method_tables import CHOSEN
from outcome import Outcome, table
from paper_numbers import PERCENT, lines_of
from place import Place
from settings import SETS
from study import COMPARED, RETRAINED, Way, step

WHOLE = step(CHOSEN)
INSIDE = Way("SPE-SO(90%)", "wanda-0.9", (*WHOLE.options, "--within", "wanda:0.9"))
HEADS = ["set", "method", *COMPARED, "forget loss", "gap", "gap − SPE-SO's", "entries changed", "time, s"]


def run(place: Place, target: str) -> Outcome:
    """Measure the table.

    Args:
        place: Where.
        target: ``table9``.

    Returns:
        Two lines a set that is there.
    """
    model = place.setting.models[0]
    outcome = Outcome(
        f"Table {target.removeprefix('table')}: weights inside the units, {model.name}",
        [
            f"{place.setting.forget} rows to forget; steps end at the loss of held-out rows. U, R and T: the "
            "score on the forgotten, the remaining and the test rows, MIA, all in percent. In brackets the "
            f"paper's number for {model.shown}.",
            of_noise(place.setting.draws),
        ],
    )
    lines: list[list[str]] = []
    for one in SETS.values():
        try:
            study = place.study(one)
        except NoDataError as error:
            outcome.notes.append(f"{one.title} is left out: {error}.")
            continue
        rows: list[Json] = []
        for draw in study.draws:
            rows += study.reference_rows(draw)
            rows += [study.served_row(draw, way) for way in (WHOLE, INSIDE)]
        groups, printed = by_method(rows), lines_of(target, one.name)
        for way in (WHOLE, INSIDE):
            group, theirs = groups[way.name], printed[way.name].values
            cells = [one.title, way.name]
            cells += [f"{mean_text(group, name, PERCENT)} ({theirs[name]:.2f})" for name in COMPARED]
            cells += [mean_text(group, "loss", digits=3), mean_text(group, "gap")]
            cells.append("" if way is WHOLE else difference_text(group, groups[WHOLE.name], "gap"))
            cells += [mean_text(group, "parameters_changed", digits=0), mean_text(group, "seconds", digits=0)]
            lines.append(cells)
        change = difference(groups[INSIDE.name], groups[WHOLE.name], "T", PERCENT)
        paper = printed[INSIDE.name].values["T"] - printed[WHOLE.name].values["T"]
        outcome.findings.append(
            f"{one.title}: choosing inside changes T by {change.text(sign=True)}, {change.word}; "
            f"in the paper by {paper:+.2f}, called no improvement."
        )
        outcome.rows += [
            {"model": model.name, "set": one.name, **row} for row in rows if row["method"] != RETRAINED
        ]
    outcome.tables[""] = table(HEADS, lines)
    return outcome
