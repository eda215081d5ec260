"""Requests one after the other, memory-free and memory-aided: the paper's Table 1 and Figure 4.

After some of the requests of a draw the scores on the remaining and on the test rows, beside the model
retrained without the rows of all of them.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands import REFUSED, Json
from draws_table import difference, difference_text, mean, mean_text, of_noise
from matplotlib.figure import Figure
from outcome import Outcome, table
from panels import SCORES, Panels
from paper_numbers import PERCENT, numbers
from place import Place
from settings import SETS, Setting
from study import NOT_MEASURED, ORIGINAL, RETRAINED, Study


@dataclass(frozen=True)
class Chain:
    """A state, and how its requests are served."""

    name: str
    options: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its name in files."""
        return self.name.replace(" ", "-")


FREE_SO = Chain("free SO", ("--mode", "free", "--method", "so"))
CHAINS = (
    FREE_SO,
    Chain("free SPE-SO", ("--mode", "free", "--sparsity", "0.9")),
    Chain("aided SO", ("--mode", "aided", "--method", "so")),
    Chain("aided SPE-SO", ("--mode", "aided", "--sparsity", "0.9")),
)
CLAIMS = {
    ("free SPE-SO", "free SO"): "clearly above",
    ("aided SPE-SO", "aided SO"): "slightly above",
    ("aided SO", "free SO"): "above",
}


def run(place: Place, target: str) -> Outcome:
    """Measure Table 1, which has one of the chains, or Figure 4, which has all.

    Args:
        place: Where.
        target: ``table1`` or ``figure4``.

    Returns:
        The table, and of the figure its picture.
    """
    setting = place.setting
    study = place.study(SETS[setting.case_study])
    chains = (FREE_SO,) if target == "table1" else CHAINS
    rows = [row for draw in study.draws for row in rows_of(study, draw, chains)]
    kind, number = target[:-1].capitalize(), target[-1]
    outcome = Outcome(
        f"{kind} {number}: {setting.requests} requests, {study.data_set.title}, {study.model.name}",
        [
            f"Each request is of {setting.request_size} rows, served at the loss of held-out rows. R and T: "
            "the score on the remaining and the test rows, U on all rows forgotten so far, in percent.",
            *setting.stand_in(),
            of_noise(setting.draws),
        ],
        rows=[{"model": study.model.name, "set": study.data_set.name, **row} for row in rows],
    )
    outcome.tables[""] = chains_table(rows, with_paper=target == "table1")
    if target == "table1":
        outcome.findings = decline(rows, setting)
    else:
        outcome.findings = comparisons(rows, setting)
        outcome.pictures[""] = picture(rows, study.data_set.title)
    return outcome


def rows_of(study: Study, draw: str, chains: Sequence[Chain]) -> list[Json]:
    """Every chain on one draw, and the model retrained without all of its rows."""
    original, last = study.original(), study.setting.requests
    rows = [row for chain in chains for row in _rows_of_chain(study, draw, chain)]
    so_far = study.cut / f"so-far-{draw}-{last}.txt"
    for method, model in ((ORIGINAL, original), (RETRAINED, study.train(f"retrained-{so_far.stem}", so_far))):
        found = study.measured(model, so_far, f"{method}-{so_far.stem}")
        rows.append({"method": method, "draw": draw, "requests": last, **found})
    return rows


def _rows_of_chain(study: Study, draw: str, chain: Chain) -> list[Json]:
    """Serve all requests of a state, and measure after some of them."""
    state = study.work / f"state-{chain.label}-{draw}"
    asked = (
        "--model",
        str(study.work / ORIGINAL),
        *study.data,
        *study.fisher,
        *study.holdout,
        *chain.options,
    )
    study.speu("requests", "init", str(state), *asked, keep=state.name)
    rows: list[Json] = []
    before: Path | None = None
    for count in range(1, study.setting.requests + 1):
        model = study.work / f"{chain.label}-{draw}-{count}"
        answer = study.speu(
            *("unlearn", "--state", str(state), "--forget", str(study.cut / f"request-{draw}-{count}.txt")),
            *("--request-id", f"R-{count}", "--force", "-o", str(model)),
            keep=model.name,
        )
        row: Json = {"method": chain.name, "draw": draw, "requests": count}
        if REFUSED in answer:
            return [*rows, {**row, **NOT_MEASURED, REFUSED: True}]
        if count in study.setting.measured:
            told = {name: answer["result"][name] for name in ("rate", "loss_before", "loss_after")}
            found = study.measured(model, study.cut / f"so-far-{draw}-{count}.txt", model.name)
            rows.append({**row, **found, **told, "seconds": answer["process_seconds"]})
        if before:  # the next request starts from this model, or from the original
            shutil.rmtree(before, ignore_errors=True)
        before = model
    return rows


def _points(rows: Sequence[Json]) -> dict[tuple[str, int], list[Json]]:
    """The draws of each chain and number of requests."""
    groups: dict[tuple[str, int], list[Json]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["requests"]), []).append(row)
    return groups


def chains_table(rows: Sequence[Json], *, with_paper: bool) -> str:
    """One line a chain and number of requests."""
    paper = numbers()["table1"]
    lines = []
    for (method, count), group in _points(rows).items():
        cells = [method, str(count), mean_text(group, "U", PERCENT)]
        for name in SCORES:
            cell = mean_text(group, name, PERCENT)
            if with_paper and method == FREE_SO.name and count in paper["requests"]:
                cell += f" ({paper[f'{name}A'][paper['requests'].index(count)]:.2f})"
            cells.append(cell)
        lines.append([*cells, mean_text(group, "loss", digits=3), mean_text(group, "seconds", digits=0)])
    return table(["method", "requests", "U", *SCORES, "loss of all forgotten rows", "time, s"], lines)


def decline(rows: Sequence[Json], setting: Setting) -> list[str]:
    """From the first to the last request, ours and the paper's."""
    paper, points = numbers()["table1"], _points(rows)
    first, last = setting.measured[0], setting.measured[-1]
    found = []
    for name in SCORES:
        after, before = (points.get((FREE_SO.name, count), []) for count in (last, first))
        change = difference(after, before, name, PERCENT)
        printed = paper[f"{name}A"][-1] - paper[f"{name}A"][0]
        found.append(
            f"{name} from request {first} to {last}: {change.text(sign=True)} points, {change.word}; the "
            f"paper's falls by {-printed:.2f} from request 1 to 10."
        )
    return found


def comparisons(rows: Sequence[Json], setting: Setting) -> list[str]:
    """Chains against each other after the last request."""
    points, last = _points(rows), setting.measured[-1]
    found = []
    for (one, other), claim in CLAIMS.items():
        for name in SCORES:
            left, right = (points.get((chain, last), []) for chain in (one, other))
            told = difference_text(left, right, name, PERCENT)
            found.append(
                f"After {last} requests {name} of {one} less that of {other}: {told}; in the paper {claim}."
            )
    return found


def picture(rows: Sequence[Json], title: str) -> Figure:
    """Scores against the number of requests, RT and the original as levels."""
    points = _points(rows)
    panels = Panels(title, "requests")
    for score in SCORES:
        for chain in CHAINS:
            found = [
                (count, mean(group, score, PERCENT))
                for (name, count), group in points.items()
                if name == chain.name
            ]
            panels.line(score, chain.name, [(count, one) for count, one in found if one is not None])
    for method in (RETRAINED, ORIGINAL):
        group = [row for row in rows if row["method"] == method]
        panels.level(method, {score: mean(group, score, PERCENT) for score in SCORES})
    return panels.finished()
