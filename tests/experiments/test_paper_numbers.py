"""The paper's numbers."""

import pytest
from paper_numbers import COMPARED, lines_of, numbers
from settings import SETS, SETTINGS

METHODS = ["RT", "FT", "GD", "SA", "SO", "SPE-SO"]
MODELS = [model.name for model in SETTINGS["paper"].models]


@pytest.mark.parametrize("table", ["table2", "table4", "table5", "table6", "table7", "table8"])
def test_a_method_table_has_every_model_and_method_within_bounds(table: str) -> None:
    assert list(numbers()[table]) == MODELS
    for model in MODELS:
        lines = lines_of(table, model)
        assert list(lines) == METHODS
        assert all(45 < line.values[name] <= 100 for line in lines.values() for name in COMPARED)
        retraining, step = lines["RT"].values["seconds"], lines["SPE-SO"].values["seconds"]
        assert step < retraining / 2


def test_the_gap_of_a_line_is_that_by_hand() -> None:
    lines = lines_of("table5", "BERT-base")
    by_hand = (abs(94.53 - 93.75) + abs(98.93 - 99.06) + abs(93.35 - 93.00) + abs(89.84 - 92.97)) / 4
    assert lines["SPE-SO"].gap(lines["RT"]) == pytest.approx(by_hand)
    assert lines["RT"].gap(lines["RT"]) == 0


def test_table_9_has_every_set_and_both_ways() -> None:
    assert set(numbers()["table9"]) == set(SETS)
    for name in SETS:
        assert list(lines_of("table9", name)) == ["SPE-SO", "SPE-SO(90%)"]


@pytest.mark.parametrize(("table", "methods"), [("table10", 19), ("table11", 15), ("table12", 19)])
def test_a_tofu_table_has_a_number_in_each_column(table: str, methods: int) -> None:
    printed = numbers()[table]
    lines = {name: line for name, line in printed.items() if name != "columns"}
    assert len(lines) == methods
    assert {len(line) for line in lines.values()} == {len(printed["columns"])}


def test_the_small_tables_are_whole() -> None:
    one, three = numbers()["table1"], numbers()["table3"]
    assert len(one["requests"]) == len(one["TA"]) == len(one["RA"])
    assert three["models"] == MODELS
    assert all(less < more for less, more in zip(three["SPE-SO"], three["SO"], strict=True))
