"""Six ways to forget, on one data set: the paper's Tables 2 and 4 to 8.

Retraining (RT), fine-tuning (FT), gradient difference (GD), sparsity-aware fine-tuning (SA), and the
second-order step on all units (SO) and on a tenth of them (SPE-SO). A step ends at the loss of held-out rows;
and once more at the retrained model's own loss on the draw, which nobody knows without retraining, for the
paper searched the rate at which a step forgets as much as retraining does.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from commands import Json
from draws_table import by_method, difference, difference_text, mean, mean_text, of_noise
from outcome import Outcome, table
from paper_numbers import PERCENT, Printed, lines_of
from place import Place
from settings import SETS, Model, Setting
from study import COMPARED, RETRAINED, Way, step

TABLES = {"table2": "mnli", "table4": "qqp", "table5": "sst2", "table6": "stsb", "table7": "squad1"}
TABLES["table8"] = "squad2"
CHOSEN = 0.9
AT_REFERENCE = ", RT's loss"
METHODS = ("FT", "GD", "SA", "SO", "SPE-SO")


def ways(setting: Setting, model: Model) -> list[Way]:
    """Every way but retraining."""
    rate = ("--learning-rate", model.learning_rate, "--weight-decay", "0")
    again = (*rate, "--epochs", setting.epochs_again)
    return [
        Way("FT", "ft", ("--method", "ft", *again), steps=False),
        Way("GD", "gd", ("--method", "gd", "--epoch-over", "all", *again), steps=False),
        Way("SA", "sa", ("--method", "sa", *again), steps=False),
        *(step(sparsity) for sparsity in (0, CHOSEN)),
        *(step(sparsity, at_reference=True) for sparsity in (0, CHOSEN)),
    ]


def run(place: Place, target: str) -> Outcome:
    """Measure a table.

    Args:
        place: Where.
        target: Such as ``table5``.

    Returns:
        The table of each model.
    """
    one = SETS[TABLES[target]]
    size = place.setting.sizes[one.name]
    outcome = Outcome(
        f"Table {target.removeprefix('table')}: {one.title}",
        [
            f"{size.training or 'All'} training rows, {place.setting.forget} to forget. U, R and T: "
            f"{one.score} on the forgotten, the remaining and the test rows; MIA: the fraction of forgotten "
            "rows that the attack calls members; all in percent. Gap: mean distance from RT in U, R, T and "
            "MIA, in points. In brackets the paper's number for the model that is named.",
            of_noise(place.setting.draws),
        ],
    )
    for model in place.models():
        study = place.study(one, model)
        rows: list[Json] = []
        for draw in study.draws:
            rows += study.reference_rows(draw)
            rows += [study.served_row(draw, way) for way in ways(place.setting, model)]
        printed = lines_of(target, model.shown)
        beside = f"{model.name} (paper: {model.shown})"
        outcome.tables[beside] = means_table(rows, printed)
        outcome.tables[f"{model.name}: difference from RT, in points"] = differences_table(rows, printed)
        outcome.findings += [f"{model.name}: {found}" for found in findings(rows, printed)]
        outcome.rows += [{"model": model.name, "set": one.name, **row} for row in rows]
    return outcome


def means_table(rows: Sequence[Json], printed: Mapping[str, Printed]) -> str:
    """One line a method: means over the draws, with the paper's numbers in brackets."""
    groups = by_method(rows)
    lines = []
    for method, group in groups.items():
        theirs = printed.get(method.removesuffix(AT_REFERENCE))
        values = theirs.values if theirs else {}
        cells = [method]
        for name in COMPARED:
            cells.append(_beside(mean_text(group, name, PERCENT), values.get(name)))
        cells += [mean_text(group, "AUC", PERCENT), mean_text(group, "loss", digits=3)]
        paper_gap = theirs.gap(printed[RETRAINED]) if theirs else None
        cells.append(_beside(mean_text(group, "gap"), paper_gap))
        cells.append("" if method == "SPE-SO" else difference_text(group, groups["SPE-SO"], "gap"))
        cells.append(_beside(mean_text(group, "seconds", digits=0), values.get("seconds"), 0))
        lines.append(cells)
    heads = ["method", *COMPARED, "AUC", "forget loss", "gap", "gap − SPE-SO's", "time, s"]
    return table(heads, lines)


def differences_table(rows: Sequence[Json], printed: Mapping[str, Printed]) -> str:
    """One line a method: its signed distance from RT, draw by draw, and whether it is more than noise."""
    groups = by_method(rows)
    lines = []
    for method, group in groups.items():
        if method == RETRAINED:
            continue
        theirs = printed.get(method.removesuffix(AT_REFERENCE))
        cells = [method]
        for name in COMPARED:
            paper = theirs.values[name] - printed[RETRAINED].values[name] if theirs else None
            cells.append(_beside(difference_text(group, groups[RETRAINED], name, PERCENT), paper, sign=True))
        lines.append(cells)
    return table(["method", *(f"{name} − RT's" for name in COMPARED)], lines)


def _beside(ours: str, paper: float | None, digits: int = 2, *, sign: bool = False) -> str:
    return ours if paper is None else f"{ours} ({paper:{'+' if sign else ''}.{digits}f})"


def findings(rows: Sequence[Json], printed: Mapping[str, Printed]) -> list[str]:
    """What agrees with the paper: the order of the methods by gap, and the sign of SPE-SO − SO."""
    groups = by_method(rows)
    paper = {method: printed[method].gap(printed[RETRAINED]) for method in METHODS}
    found = []
    for ending, told in (("", "at the loss of held-out rows"), (AT_REFERENCE, "at RT's loss")):
        ours = {method: groups[method + (ending if method in {"SO", "SPE-SO"} else "")] for method in METHODS}
        found.append(f"Steps {told}: {order(ours, paper)}")
        found.append(f"Steps {told}: {sign(ours, paper)}")
    return found


def order(rows: Mapping[str, Sequence[Json]], paper: Mapping[str, float]) -> str:
    """How far the order by gap is the paper's.

    Args:
        rows: Of each method, a draw each.
        paper: The average gap of each method.

    Returns:
        Both orders; how many pairs stand as in the paper, of all and of those that our draws tell apart.
    """
    pairs = list(combinations(paper, 2))
    differences = {(a, b): difference(rows[a], rows[b], "gap") for a, b in pairs}
    agree = {
        (a, b): differences[a, b].mean * (paper[a] - paper[b]) > 0
        for a, b in pairs
        if differences[a, b].count
    }
    apart = [pair for pair in agree if differences[pair].told_apart]
    averages = {method: found.mean for method, group in rows.items() if (found := mean(group, "gap"))}
    return (
        f"by average gap {_ordered(averages)}; in the paper {_ordered(paper)}: {sum(agree.values())} of "
        f"{len(agree)} pairs of methods stand as in the paper; of the {len(apart)} that the draws tell "
        f"apart, {sum(agree[pair] for pair in apart)}."
    )


def sign(rows: Mapping[str, Sequence[Json]], paper: Mapping[str, float]) -> str:
    """Whether SPE-SO is nearer to RT than SO, as in the paper."""
    ours, theirs = difference(rows["SPE-SO"], rows["SO"], "gap"), paper["SPE-SO"] - paper["SO"]
    if not ours.count:
        return "SO or SPE-SO was refused on every draw."
    same = "the same sign as" if ours.mean * theirs > 0 else "not the sign of"
    return (
        f"the gap of SPE-SO less that of SO is {ours.text(sign=True)} points, {ours.word}; {same} the "
        f"paper's {theirs:+.2f}."
    )


def _ordered(gaps: Mapping[str, float]) -> str:
    return " < ".join(sorted(gaps, key=lambda method: gaps[method]))
