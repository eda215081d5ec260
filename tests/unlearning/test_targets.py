"""Targets among the margins of unseen examples."""

import numpy as np
import pytest

from oracles.targets import FEWEST
from oracles.targets import unseen_margins as counted_margins
from oracles.targets import unseen_terms as searched_terms
from speu_cli.unlearning import targets
from speu_cli.unlearning.targets import Floats, Known

UNSEEN = np.linspace(-2, 2, 401)


def alike(margins: Floats) -> Known:
    """All of one stratum."""
    return Known(margins, np.zeros(len(margins), dtype=np.int64))


def unseen_margins(now: Floats, known: Floats, unseen: Floats, lowest: float) -> Floats:
    return targets.unseen_margins(alike(now), alike(known), alike(unseen), lowest, now)


def test_examples_that_stand_as_the_training_set_does_end_as_unseen_ones_do() -> None:
    now = np.linspace(3, 7, 100)
    aims = unseen_margins(now, np.linspace(3, 7, 5000), UNSEEN, -6.0)
    expected = np.quantile(UNSEEN, (np.arange(100) + 0.5) / 100)
    assert np.allclose(aims, expected, atol=0.02)


def test_the_order_is_kept() -> None:
    draw = np.random.default_rng(0)
    now = draw.normal(5, 1, 30)
    aims = unseen_margins(now, draw.normal(5, 1, 300), draw.normal(0, 2, 300), -6.0)
    assert (np.diff(aims[np.argsort(now)]) >= 0).all()


def test_an_easier_forget_set_gets_higher_targets() -> None:
    known = np.linspace(0, 10, 1000)
    easy, hard = (
        unseen_margins(middle + np.linspace(-1, 1, 21), known, UNSEEN, -6.0).mean() for middle in (8, 4)
    )
    assert easy > hard


def test_nothing_is_learnt_and_nothing_is_missed_by_more_than_the_lowest() -> None:
    now = np.array([-9.0, -1.9, 0.5, 8.0])
    aims = unseen_margins(now, np.linspace(0, 9, 50), np.linspace(-50, 9, 100), -6.0)
    assert (aims <= now).all()
    assert aims[0] == -9.0  # it was below the lowest before
    assert (aims[1:] >= -6.0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_example_has_a_target(count: int) -> None:
    aims = unseen_margins(np.full(count, 5.0), np.zeros(0), UNSEEN, -6.0)
    assert np.allclose(aims, 0.0, atol=0.02)


def drawn(seed: int, count: int, strata: int) -> Known:
    """Margins of two digits, so that some are alike; what a higher stratum has is harder."""
    draw = np.random.default_rng(seed)
    of_each = draw.integers(0, strata, count)
    return Known(np.round(draw.normal(3 - of_each, 1.0), 1), of_each)


@pytest.mark.parametrize("strata", [1, 2, 5, 60])
def test_targets_are_those_that_are_counted(strata: int) -> None:
    """With 60 strata most are too small."""
    now, known, unseen = (drawn(seed, count, strata) for seed, count in ((1, 40), (2, 300), (3, 200)))
    rows = [list(zip(one.margins.tolist(), one.strata.tolist(), strict=True)) for one in (now, known, unseen)]
    for order in (now.margins, np.random.default_rng(4).integers(0, 9, 40).astype(float)):
        found = targets.unseen_margins(now, known, unseen, -1.5, order)
        assert np.allclose(found, counted_margins(*rows, -1.5, order.tolist()), atol=1e-12)


def test_who_would_be_known_better_unseen_ends_higher_with_the_same_targets_in_all() -> None:
    draw = np.random.default_rng(0)
    now, order = draw.normal(9, 1, 30), draw.normal(0, 1, 30)
    known, unseen = alike(draw.normal(9, 1, 300)), alike(draw.normal(0, 2, 300))
    by_order = targets.unseen_margins(alike(now), known, unseen, -6.0, order)
    assert (np.diff(by_order[np.argsort(order)]) > 0).all()
    by_margin = targets.unseen_margins(alike(now), known, unseen, -6.0, now)
    assert np.allclose(np.sort(by_order), np.sort(by_margin), atol=1e-12)


def test_an_example_ends_where_unseen_ones_of_its_stratum_do() -> None:
    now = Known(np.full(40, 5.0), np.repeat([0, 1], 20))
    known = Known(np.full(200, 5.0), np.tile([0, 1], 100))
    unseen = Known(np.r_[np.full(50, -3.0), np.full(50, 1.0)], np.repeat([0, 1], 50))
    assert targets.unseen_margins(now, known, unseen, -6.0, now.margins).tolist() == [-3.0] * 20 + [1.0] * 20
    few = Known(unseen.margins[: 50 + FEWEST - 1], unseen.strata[: 50 + FEWEST - 1])
    assert (targets.unseen_margins(now, known, few, -6.0, now.margins)[20:] < 1.0).any()


def divided(known: Known, seed: int) -> Floats:
    """Two terms, whose mean is the margin."""
    off = np.random.default_rng(seed).normal(0, 2, len(known.margins))
    return np.stack([known.margins + off, known.margins - off], 1)


@pytest.mark.parametrize("strata", [1, 2, 60])
def test_terms_are_those_of_an_unseen_example_that_is_searched_for(strata: int) -> None:
    now, known, unseen = (drawn(seed, count, strata) for seed, count in ((1, 40), (2, 300), (3, 200)))
    aims = targets.unseen_margins(now, known, unseen, -1.5, now.margins)
    of_now, of_unseen = divided(now, 4), divided(unseen, 5)
    found = targets.unseen_terms(aims, now, of_now, unseen, of_unseen, -1.5)
    rows = [
        list(zip(zip(one.margins, one.strata, strict=True), terms, strict=True))
        for one, terms in ((now, of_now), (unseen, of_unseen))
    ]
    assert np.allclose(found, searched_terms(aims.tolist(), *rows, -1.5), atol=1e-12)
    assert (aims == now.margins).any()


def test_what_is_unknown_together_falls_together() -> None:
    """Remembered in one term more than in the other, all end with both alike, as unseen examples are."""
    draw = np.random.default_rng(0)
    now = alike(draw.normal(5, 1, 100))
    margins = draw.normal(-1, 2, 500)
    terms_unseen = np.stack([margins + 0.1, margins - 0.1], 1)
    aims = targets.unseen_margins(now, now, alike(margins), -6.0, now.margins)
    found = targets.unseen_terms(aims, now, divided(now, 1), alike(margins), terms_unseen, -6.0)
    assert np.corrcoef(divided(now, 1).T)[0, 1] < 0
    assert np.corrcoef(found.T)[0, 1] > 0.9
