"""How many units are selected, and which."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.masks.selection import select, selected_count
from speu_cli.structures.layout import KINDS, Layout, find_layout
from tiny import tiny_model


@pytest.fixture(scope="module")
def layout() -> Layout:
    return find_layout(tiny_model("bert"))


@pytest.mark.parametrize(
    ("units", "sparsity", "expected"),
    [
        (10, 0.9, 1),
        (40, 0.9, 4),
        (144, 0.9, 14),
        (36_864, 0.9, 3_686),
        (10, 0.0, 10),
        (10, 0.99, 1),
        (10, 0.5, 5),
    ],
)
def test_count(units: int, sparsity: float, expected: int) -> None:
    assert selected_count(units, sparsity) == expected


@given(units=st.integers(1, 5_000), percent=st.integers(0, 99))
def test_count_is_the_largest_that_the_sparsity_allows(units: int, percent: int) -> None:
    k = selected_count(units, percent / 100)
    allowed = 1 - Fraction(percent, 100)
    assert k == 1 or Fraction(k, units) <= allowed
    assert Fraction(k + 1, units) > allowed


def scores(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {group.key: torch.randn(group.count, generator=draw) for group in layout}


def test_ranks_units_of_a_kind_across_all_layers(layout: Layout) -> None:
    given_scores = scores(layout)
    mask = select(given_scores, layout, KINDS, 0.75)
    for kind in KINDS:
        groups = layout.of_kind(kind)
        ranked = torch.cat([given_scores[group.key] for group in groups])
        chosen = torch.cat([mask.selected[group.key] for group in groups])
        assert chosen.sum() == selected_count(len(ranked), 0.75)
        assert ranked[chosen].min() >= ranked[~chosen].max()


def test_one_kind_only(layout: Layout) -> None:
    counts = select(scores(layout), layout, ["heads"], 0.5).counts()
    assert counts == {"heads": (4, 8), "filters": (0, 48)}


def test_equal_scores_are_taken_in_order(layout: Layout) -> None:
    equal = {group.key: torch.zeros(group.count) for group in layout}
    mask = select(equal, layout, ["heads"], 0.5)
    assert mask.selected["heads/0"].all()
    assert not mask.selected["heads/1"].any()
