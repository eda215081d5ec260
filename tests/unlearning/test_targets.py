"""Targets among the margins of unseen examples."""

import numpy as np
import pytest

from speu_cli.unlearning.targets import unseen_margins

UNSEEN = np.linspace(-2, 2, 401)


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
