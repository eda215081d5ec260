"""The search for the rate: finds the target where there is one, and refuses where there is none."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.errors import InputError, UnsafeStepError
from speu_cli.unlearning.rate import check_step, find_rate
from speu_cli.unlearning.settings import StepSettings

START = 1e-6


def rising(scale: float, power: float) -> Callable[[float], float]:
    """A loss of 0.05 that rises smoothly with the rate."""
    return lambda rate: 0.05 + (rate / scale) ** power


@given(exponent=st.floats(-11, 1), power=st.floats(0.5, 3), target=st.floats(0.1, 2))
def test_meets_the_target_over_twelve_orders_of_magnitude(
    exponent: float, power: float, target: float
) -> None:
    loss_at = rising(10**exponent, power)
    found = find_rate(loss_at, target, start=START, max_overshoot=2.0)
    assert found.loss == pytest.approx(target, rel=0.02)
    assert found.loss == loss_at(found.value)
    assert len(found.trials) < 40


def test_a_forget_set_that_looks_unseen_already_needs_no_step() -> None:
    found = find_rate(lambda rate: 0.6 + rate, 0.5, start=START, max_overshoot=2.0)
    assert (found.value, found.loss, len(found.trials)) == (0.0, 0.6, 1)


@pytest.mark.parametrize("beyond", [math.inf, math.nan])
def test_a_model_that_breaks_beyond_some_rate_does_not_end_the_search(beyond: float) -> None:
    loss_at = rising(1e-5, 1.0)
    found = find_rate(
        lambda rate: loss_at(rate) if rate < 1e-5 else beyond, 0.5, start=1e-4, max_overshoot=2.0
    )
    assert found.loss == pytest.approx(0.5, rel=0.02)


def test_a_loss_that_never_reaches_the_target_is_refused() -> None:
    with pytest.raises(UnsafeStepError, match="does not reach the target"):
        find_rate(lambda rate: 0.1 + 0.1 * rate / (1 + rate), 0.5, start=START, max_overshoot=2.0)


def test_a_loss_that_falls_is_refused() -> None:
    with pytest.raises(UnsafeStepError, match="does not reach the target"):
        find_rate(lambda rate: 0.1 / (1 + rate), 0.5, start=START, max_overshoot=2.0)


@pytest.mark.parametrize("beyond", [5.0, math.inf])
def test_a_jump_past_the_target_is_refused(beyond: float) -> None:
    with pytest.raises(UnsafeStepError):
        find_rate(lambda rate: 0.05 if rate < 1e-3 else beyond, 0.5, start=START, max_overshoot=2.0)


def test_a_fixed_rate_is_checked() -> None:
    check_step(0.9, 0.5, 2.0)
    check_step(50.0, None, 2.0)
    with pytest.raises(UnsafeStepError, match="more than 2 times"):
        check_step(1.1, 0.5, 2.0)
    with pytest.raises(UnsafeStepError, match="non-finite"):
        check_step(math.nan, None, 2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"damping": -1.0},
        {"damping": math.nan},
        {"rate": 0.0},
        {"rate": math.inf},
        {"target_loss": 0.0},
        {"max_overshoot": 0.5},
        {"forget_examples": "some"},
        {"target_loss": None},
        {"target_loss": None, "rate": 1e-6},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    usual: dict[str, Any] = {
        "damping": 0.1,
        "rate": None,
        "target_loss": 0.3,
        "max_overshoot": 2.0,
        "forget_examples": "remembered",
    }
    with pytest.raises(InputError):
        StepSettings(**{**usual, **wrong})


def test_a_fixed_rate_over_all_examples_needs_no_target() -> None:
    assert StepSettings(0.1, 1e-6, None, 2.0, "all").rate == 1e-6
