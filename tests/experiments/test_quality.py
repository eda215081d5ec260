"""The study of recipes: bars and tables from rows of single draws, and the files of the variants."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_cuts import NoDataError
from quality.bars import BARS, Verdict, compared
from quality.draws import further_draws
from quality.pictures import gaps_picture
from quality.rows import LACKING, OTHER_SEED
from quality.tables import bars_table, criterion_table, draw_table, gaps_table
from quality.variants import DEFAULT, DEFAULT_SO, VARIANTS, written
from settings import MINILM, SETS, SETTINGS
from study import Study

from speu_cli.unlearning.recipes.presets import find_recipe

FIGURES = {"U": 0.9, "R": 0.99, "T": 0.8, "MIA": 0.7, "AUC": 0.5, "loss": 0.3, "gap": 0.5, "seconds": 20.0}
NEAR = {"R_off": 0.1, "T_off": -0.2, "heldout_auc": 0.5, "auc_off": 0.01, "rank": 0.9, "confidence": 0.02}


def row(method: str, draw: str, name: str = "sst2", **values: Any) -> dict[str, Any]:
    known = {"set": name, "draw": draw, "further": draw not in "abc", "method": method, **FIGURES, **NEAR}
    return {**known, "time_share": 0.01, **values}


def good() -> list[dict[str, Any]]:
    """Three draws on which all bars are met, and a further one on which none would be."""
    rows = [row(DEFAULT.name, draw) for draw in "abc"]
    rows += [row(DEFAULT_SO.name, draw, R=0.95, T=0.7) for draw in "abc"]
    rows.append(row(OTHER_SEED, "a", gap=0.8, rank=0.85, confidence=0.03))
    return [*rows, row(DEFAULT.name, "16", gap=30, R_off=9, T_off=9, auc_off=1, time_share=1)]


def verdicts(rows: list[dict[str, Any]]) -> dict[str, Verdict]:
    found = compared(rows, DEFAULT, DEFAULT_SO)
    return {bar: verdict(found) for bar, verdict in BARS.items()}


def failed(rows: list[dict[str, Any]]) -> list[str]:
    return [bar for bar, verdict in verdicts(rows).items() if not verdict.met]


def test_draws_that_meet_all_bars_do_and_further_draws_do_not_count() -> None:
    assert failed(good()) == []
    assert str(verdicts(good())["gap of the worst draw at most 2.0"]) == "met: 0.50"


@pytest.mark.parametrize(
    ("change", "bar", "value"),
    [
        ({"gap": 2.5}, "worst draw", "2.50"),
        ({"R_off": -0.6}, "R within", "in 2 of 3"),
        ({"T_off": 0.6}, "T within", "in 2 of 3"),
        ({"auc_off": -0.04}, "AUC", "in 2 of 3"),
        ({"rank": 0.5}, "agreement", "rank 0.77 (0.85)"),
        ({"confidence": 0.2}, "agreement", "confidence 0.080 (0.030)"),
        ({"time_share": 0.04}, "a request takes", "1/25"),
    ],
)
def test_a_bar_that_one_draw_misses_is_told(change: dict[str, float], bar: str, value: str) -> None:
    rows = good()
    rows[0] |= change
    (missed,) = (one for one in failed(rows) if one.startswith(bar) or bar in one)
    assert value in str(verdicts(rows)[missed])
    assert str(verdicts(rows)[missed]).startswith("not met: ")


def test_a_mean_gap_inside_the_noise_of_seeds_is_met() -> None:
    rows = good()
    for one in rows[:3]:
        one["gap"] = 1.5
    assert "mean gap" in failed(rows)[0]
    rows[6]["gap"] = 1.6
    assert failed(rows) == []


def test_a_refused_draw_is_named_and_meets_nothing_that_every_draw_has_to() -> None:
    rows = good()
    rows[1] = {**rows[1], **LACKING, "refused": True}
    told = verdicts(rows)
    for bar in ("mean gap at most 1.0, or no larger than between seeds", "gap of the worst draw at most 2.0"):
        assert not told[bar].met
        assert str(told[bar]).endswith("(1 of 3 refused)")
    assert not told["R within 0.5 of RT's in every draw"].met
    assert "R in 2 of 3, T in 2 of 3" in str(told["SPE-SO ahead of SO on R and T in 13 of 15 draws"])
    assert "default (refused) | – |" in draw_table(rows)


def test_what_was_not_served_with_all_units_is_not_ahead() -> None:
    rows = [one for one in good() if one["method"] != DEFAULT_SO.name]
    bar = "SPE-SO ahead of SO on R and T in 13 of 15 draws"
    assert failed(rows) == [bar]
    first = [one for one in good() if one["method"] != DEFAULT_SO.name or one["draw"] == "a"]
    assert failed(first) == [bar]
    assert str(verdicts(first)[bar]) == "not met: R in 1 of 1, T in 1 of 1"


def test_where_all_was_refused_nothing_is_met() -> None:
    rows = [
        one if one["method"] == OTHER_SEED else {**one, **LACKING, "time_share": math.nan} for one in good()
    ]
    assert failed(rows) == list(BARS)


def test_each_set_has_a_column_of_its_own() -> None:
    rows = good() + [{**one, "set": "qqp"} for one in good()]
    rows[0]["gap"] = 2.5
    text = bars_table(rows, DEFAULT, DEFAULT_SO)
    assert text.startswith("| bar | all sets | SST-2 | QQP |")
    assert "| not met: 2.50 | not met: 2.50 | met: 0.50 |" in text
    assert "| default | 1.17 ± 2.87 | 0.50 ± 0.00 |" in gaps_table(rows)


def test_the_criterion_of_each_request_is_told_with_its_note() -> None:
    rows = [row(DEFAULT.name, "a", **{"criterion.forget.reached": 0.9}, note="not met at first: a | b")]
    assert "| SST-2 | a | 0.900 | not met at first: a / b |" in criterion_table(rows, DEFAULT)


def test_the_picture_has_a_chart_a_set_and_a_line_a_variant() -> None:
    rows = [row(variant.name, draw, gap=math.nan) for variant in VARIANTS[:1] for draw in "abc"]
    rows += [row(variant.name, draw) for variant in VARIANTS[1:] for draw in "abc"]
    rows += [{**one, "set": "qqp"} for one in rows if one["method"] != DEFAULT_SO.name]  # not served there
    figure = gaps_picture(rows, VARIANTS)
    assert [axes.get_title() for axes in figure.axes] == ["SST-2", "QQP"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [one.name for one in VARIANTS]


def test_every_variant_is_a_recipe_with_a_name_and_a_label_of_its_own(tmp_path: Path) -> None:
    for variant in VARIANTS:
        recipe = variant.recipe
        if isinstance(recipe, str):
            find_recipe(recipe)
            continue
        found = find_recipe(written(recipe, tmp_path / f"{variant.label}.toml"))
        assert {key: getattr(found, key) for key in recipe} == recipe
    assert len({one.label for one in VARIANTS}) == len({one.name for one in VARIANTS}) == len(VARIANTS)


def test_another_recipe_in_the_place_of_one_is_refused(tmp_path: Path) -> None:
    path = written({"target": "mean"}, tmp_path / "recipe.toml")
    assert written({"target": "mean"}, path) == path
    with pytest.raises(NoDataError, match="was another recipe"):
        written({"target": "mean", "steps": 2}, path)


def test_further_draws_share_no_row_with_the_others(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"id": number}) + "\n" for number in range(20))
    (tmp_path / "train.jsonl").write_text(rows)
    setting = replace(SETTINGS["smoke"], draws=2, forget=4, further={"sst2": (3, 5)})
    study = Study(tmp_path, setting, SETS["sst2"], MINILM, tmp_path, tmp_path)
    assert further_draws(study) == ["3", "5"]
    assert study.forget("3").read_text().split() == ["8", "9", "10"]
    assert study.forget("5").read_text().split() == ["11", "12", "13", "14", "15"]
    with pytest.raises(NoDataError, match="need 108 rows, found 20"):
        further_draws(replace(study, setting=replace(setting, further={"sst2": (100,)})))


def test_times_that_were_not_measured_meet_no_bar() -> None:
    rows = [{key: value for key, value in one.items() if key != "time_share"} for one in good()]
    assert str(verdicts(rows)["a request takes at most 1/50 of retraining"]) == "not met: not measured"
