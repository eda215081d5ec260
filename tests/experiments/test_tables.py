"""Tables, and what is said of them, from rows of single draws."""

import json
import math
import re
from pathlib import Path
from typing import Any

import method_tables
import pytest
import sparsity
import successive
import tofu_tables
import weights_inside
from draws_table import by_method, difference
from matplotlib.figure import Figure
from method_tables import CHOSEN, differences_table, means_table, order, sign
from outcome import Outcome, table
from paper_numbers import lines_of, numbers
from settings import MINILM, SETTINGS
from study import NOT_MEASURED, gap, step

PRINTED = lines_of("table5", "BERT-base")
SMALL = SETTINGS["small"]


def row(method: str, draw: str, **values: float) -> dict[str, Any]:
    usual = {"U": 0.9, "R": 0.99, "T": 0.8, "MIA": 0.75, "AUC": 0.6, "loss": 0.3, "gap": 1.0, "seconds": 9}
    return {"method": method, "draw": draw, **usual, **values}


def three(method: str, gaps: tuple[float, float, float]) -> list[dict[str, Any]]:
    return [row(method, draw, gap=value) for draw, value in zip("abc", gaps, strict=True)]


def cells_of(text: str, method: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_cell_has_mean_interval_and_the_papers_number() -> None:
    rows = [row("RT", draw) for draw in "abc"] + three("SPE-SO", (1, 2, 3)) + three("FT", (7, 8, 9))
    cells = cells_of(means_table(rows, PRINTED), "FT")
    assert cells[1] == "90.00 ± 0.00 (96.88)"
    assert cells[7] == f"8.00 ± 2.48 ({PRINTED['FT'].gap(PRINTED['RT']):.2f})"
    assert cells[8] == "+6.00 ± 0.00, larger"


def test_a_difference_inside_the_noise_is_called_so_in_the_table() -> None:
    rows = [row("RT", draw) for draw in "abc"] + three("SPE-SO", (1, 2, 3)) + three("SO", (3, 2, 2))
    rows[-1]["T"] = 0.7
    assert "inside the noise" in cells_of(means_table(rows, PRINTED), "SO")[8]
    differences = cells_of(differences_table(rows, PRINTED), "SO")
    assert differences[3] == "-3.33 ± 14.34, inside the noise (-0.11)"
    assert differences[1] == "+0.00 ± 0.00, inside the noise (+0.78)"


def test_a_step_at_the_retrained_models_loss_stands_beside_the_papers_step() -> None:
    ways = {way.name: way for way in method_tables.ways(SMALL, MINILM)}
    assert set(method_tables.METHODS) <= ways.keys()
    at_reference = ways["SPE-SO, RT's loss"]
    assert at_reference.at_reference
    assert at_reference.name.removesuffix(method_tables.AT_REFERENCE) in PRINTED


def test_refused_draws_are_told_and_left_out() -> None:
    rows = [row("RT", draw) for draw in "abc"] + three("SPE-SO", (1, 2, 3))
    rows[-1] |= NOT_MEASURED
    cells = cells_of(means_table(rows, PRINTED), "SPE-SO")
    assert cells[1].startswith("90.00 ± 0.00 (1 refused)")
    rows = rows[:3] + [one | NOT_MEASURED for one in rows[3:]]
    assert cells_of(means_table(rows, PRINTED), "SPE-SO")[7].startswith("–")


def test_the_order_of_the_paper_is_recognised_and_so_are_pairs_told_apart() -> None:
    rows = {"A": three("A", (1, 1.1, 1.2)), "B": three("B", (5, 5.2, 5.1)), "C": three("C", (4, 5, 6.5))}
    told = order(rows, {"A": 1.0, "B": 2.0, "C": 3.0})
    assert "by average gap A < B < C; in the paper A < B < C" in told
    assert "3 of 3 pairs" in told
    assert re.search(r"of the 2 that the draws tell apart, 2\.", told)
    assert "0 of 3 pairs" in order(rows, {"A": 3.0, "B": 2.0, "C": 1.0})


def test_the_sign_is_compared_and_noise_is_named() -> None:
    rows = {"SO": three("SO", (5, 6, 7)), "SPE-SO": three("SPE-SO", (4, 5.1, 5.9))}
    assert sign(rows, {"SO": 2.0, "SPE-SO": 1.0}) == (
        "the gap of SPE-SO less that of SO is -1.00 ± 0.25 points, smaller; "
        "the same sign as the paper's -1.00."
    )
    assert "not the sign of" in sign(rows, {"SO": 1.0, "SPE-SO": 2.0})
    rows["SO"] = [one | NOT_MEASURED for one in rows["SO"]]
    assert "refused" in sign(rows, {"SO": 1.0, "SPE-SO": 2.0})


def test_differences_join_rows_by_draw() -> None:
    found = difference(three("A", (1, 2, 3)), [row("B", "c", gap=1), row("B", "a", gap=1)], "gap")
    assert (found.mean, found.count) == (1.0, 2)


def test_the_gap_is_the_mean_distance_in_points() -> None:
    found = {"U": 0.9, "R": 0.99, "T": 0.8, "MIA": 0.7}
    assert gap(found, {"U": 0.94, "R": 0.99, "T": 0.82, "MIA": 0.72}) == pytest.approx(2.0)


def test_the_same_step_has_the_same_label_in_every_table_and_another_step_another() -> None:
    assert step(CHOSEN) in method_tables.ways(SMALL, MINILM)
    assert weights_inside.WHOLE == step(CHOSEN)
    choices = [(s, kinds, aim) for s in (0, 0.5, 0.9) for kinds in sparsity.KINDS for aim in (False, True)]
    assert len({step(s, kinds, at_reference=aim).label for s, kinds, aim in choices}) == len(choices)
    assert step(0).options == ("--method", "so", "--recipe", "paper")


def points(scores: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    return [
        {**row(name, draw, T=value, R=value), "kinds": name.split()[0]}
        for name, values in scores.items()
        for draw, value in zip("ab", values, strict=True)
    ]


def test_a_fall_at_high_sparsity_is_told() -> None:
    rows = points({"both 0": (0.8, 0.81), "both 0.5": (0.8, 0.81), "both 0.9": (0.8, 0.81)})
    rows += points({"both 0.99": (0.6, 0.61)})
    first, second, _ = sparsity.sparsity_findings(rows, SMALL)
    assert "T at sparsity 90% less T at 0%: +0.00 ± 0.00, inside the noise" in first
    assert re.search(r"99% less T at 90%: -20\.00 ± 0\.00, smaller", second)


def test_kinds_are_compared_at_every_sparsity() -> None:
    rows = []
    for each in SMALL.kinds_sparsities:
        rows += points({f"heads {each:g}": (0.7, 0.71), f"filters {each:g}": (0.8, 0.81)})
        rows += points({f"both {each:g}": (0.8, 0.805)})
    told = sparsity.kinds_findings(rows, SMALL)
    assert "R of filters alone is above that of heads alone at 5 of 5 sparsities; 5 of" in told[0]
    assert "T of filters alone is above that of heads and filters at 5 of 5 sparsities; 0 of" in told[3]


def test_a_picture_has_a_line_a_sweep_and_the_two_levels() -> None:
    rows = points({name: (0.8, 0.81) for name in ("original", "RT", "both 0", "both 0.9")})
    lines = [sparsity.Sweep("both", (0, 0.9))]
    figure = sparsity.picture(rows, lines, "SST-2")
    assert [len(axes.containers) for axes in figure.axes] == [1, 1]
    told = {text.get_text() for text in figure.legends[0].get_texts()}
    assert told == {"heads and filters", "RT", "original"}
    assert all(axes.get_ylim()[1] <= 100.5 for axes in figure.axes)


def chain_rows(ends: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    return [
        {**row(name, draw, T=value + shift, R=value + shift), "requests": count}
        for name, values in ends.items()
        for count, value in zip((1, 10), values, strict=True)
        for draw, shift in (("a", 0.0), ("b", 0.001))
    ]


def test_requests_one_after_the_other_are_compared_with_the_papers() -> None:
    rows = chain_rows({"free SO": (0.85, 0.80), "free SPE-SO": (0.85, 0.84)})
    told = successive.decline(rows, SMALL)
    assert told[1].startswith(
        "T from request 1 to 10: -5.00 ± 0.00 points, smaller; the paper's falls by 0.88"
    )
    compared = successive.comparisons(rows, SMALL)
    assert "T of free SPE-SO less that of free SO: +4.00 ± 0.00, larger" in compared[1]
    assert "aided SO: –" in compared[2]
    assert "(84.34)" in successive.chains_table(rows, with_paper=True)
    assert "(84.34)" not in successive.chains_table(rows, with_paper=False)


def test_tofu_is_shown_beside_the_papers_numbers() -> None:
    values = {"forget ROUGE": 0.5, "forget probability": 0.4, "remaining probability": 0.9}
    values |= {"remaining ROUGE": 0.8, "AUC": 0.5}
    rows = [{"method": name, **values} for name in ("original", "RT", "FT", "GA", "MLR-GA")]
    rows[-1]["remaining probability"] = 0.95
    text = tofu_tables.split_table(rows, numbers()["table12"])
    assert cells_of(text, "GA")[1:4] == ["0.5 (0.00119)", "0.4 (6.26e-33)", "0.9 (1.57e-32)"]
    assert cells_of(text, "original")[1] == "0.5"
    told = tofu_tables.findings(rows, numbers()["table12"])
    broken = {"method": "MLF-GA", **dict.fromkeys(values)}
    assert cells_of(tofu_tables.split_table([*rows, broken], numbers()["table12"]), "MLF-GA")[1] == "– (0.14)"
    assert tofu_tables.findings([*rows, broken], numbers()["table12"]) == told
    assert told[0] == "MLR-GA less GA in remaining probability: +0.05; the paper's +0.33."
    assert told[-1] == "FT less RT in forget probability: +0.00; the paper's +0.81."


def test_what_is_written_has_every_draw_and_the_pictures(tmp_path: Path) -> None:
    outcome = Outcome(
        "Table 5",
        ["a note"],
        {"": table(["a", "b"], [["1", "2"]])},
        ["found"],
        [row("FT", "a"), row("FT", "b", U=math.nan)],
    )
    outcome.pictures["-sst2"] = Figure()
    outcome.write(tmp_path, "table5-small")
    ends = {re.sub(r"^[\d-]{10}-", "", path.name) for path in tmp_path.iterdir()}
    assert ends == {"table5-small.json", "table5-small.md", "table5-small-sst2.svg", "table5-small-sst2.png"}
    kept = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert kept["rows"] == [row("FT", "a"), row("FT", "b") | {"U": None}]
    assert kept["findings"] == ["found"]
    assert "| 1 | 2 |\n\n- found\n" in next(tmp_path.glob("*.md")).read_text()


def test_rows_are_grouped_in_the_order_they_came() -> None:
    groups = by_method([row("B", "a"), row("A", "a"), row("B", "b")])
    assert [(name, [one["draw"] for one in group]) for name, group in groups.items()] == [
        ("B", ["a", "b"]),
        ("A", ["a"]),
    ]
    assert math.isnan(NOT_MEASURED["gap"])
