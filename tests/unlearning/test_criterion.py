"""The criterion: what is noise, and what is not."""

import numpy as np

from speu_cli.unlearning.criterion import all_met, balance_kept, less_data, looks_unseen, not_worse, reached


def answers(right: int, of: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * (of - right))


def test_no_change_is_none() -> None:
    same = answers(90, 100)
    assert not_worse("remaining", same, same, 2.0).met
    assert balance_kept("remaining", same, same, 2.0).value == 0.0


def test_a_drop_beyond_noise_is_not_met_and_one_within_is() -> None:
    before = answers(100, 100)
    few, many = answers(98, 100), answers(80, 100)
    assert not_worse("remaining", before, few, 2.0).met  # t = −1.42
    worse = not_worse("remaining", before, many, 2.0)
    assert not worse.met  # t = −4.97
    assert np.isclose(worse.value, -0.2)
    assert not_worse("remaining", before, many, 1e9).met


def test_what_fewer_examples_explain_is_no_harm() -> None:
    before, after = answers(100, 100), answers(80, 100)
    assert not not_worse("heldout", before, after, 2.0, 0.11).met  # 0.2 − 2 · 0.0402
    assert not_worse("heldout", before, after, 2.0, 0.13).met


def test_a_learning_curve_of_the_classical_rate() -> None:
    """Twice the error of a model trained on four times as many."""
    assert np.isclose(less_data(0.1, 0.75), 0.1)
    assert less_data(0.1, 0.0) == 0.0
    assert less_data(0.0, 0.5) == 0.0


def test_a_gain_is_no_harm() -> None:
    assert not_worse("remaining", answers(50, 100), answers(99, 100), 2.0).met


def test_a_shift_of_the_class_balance_is_seen_where_the_accuracy_is_kept() -> None:
    """Ten of one class are taken for the other: as many right as before, on labels that were half wrong."""
    before = np.array([0.0] * 50 + [1.0] * 50)
    after = np.array([0.0] * 40 + [1.0] * 60)
    assert not balance_kept("heldout", before, after, 2.0).met
    swapped = before.copy()
    swapped[[0, 50]] = swapped[[50, 0]]
    assert balance_kept("heldout", before, swapped, 2.0).met


def test_every_example_moved_alike_is_no_noise() -> None:
    check = balance_kept("heldout", np.zeros(5), np.ones(5), 2.0)
    assert np.isclose(check.value, 5.0)
    assert not check.met


def test_margins_that_are_as_their_targets_look_unseen_and_others_do_not() -> None:
    aims = np.random.default_rng(1).normal(0, 1, 64)
    assert looks_unseen(aims + 4, aims + 0.05, aims).met
    short = looks_unseen(aims + 4, aims + 2.0, aims)
    assert not short.met
    assert short.value < 1e-6
    assert not all_met([looks_unseen(aims, aims, aims), short])
    assert str(short).startswith("forget.unseen_p is ")
    assert str(short).endswith("expected at least 0.05")


def test_how_far_the_forget_set_came() -> None:
    before, aims = np.array([5.0, 4.0, 1.0]), np.array([1.0, 0.0, 1.0])
    assert reached(before, before, aims).value == 0.0
    assert not reached(before, before, aims).met
    assert reached(before, aims, aims).value == 1.0
    assert reached(before, aims - 3, aims).value == 1.0
    assert reached(before, np.array([3.0, 2.0, 1.0]), aims).value == 0.5
    assert reached(aims, aims, aims).value == 1.0


def test_targets_that_are_alike_are_met_by_what_comes_near() -> None:
    before, aims = np.full(20, 4.0), np.zeros(20)
    assert looks_unseen(before, np.linspace(-0.9, 0.9, 20), aims).met
    assert not looks_unseen(before, np.linspace(1.1, 2, 20), aims).met
    assert not looks_unseen(before, np.full(20, -3.0), aims).met  # too far is no better
