"""What a few draws say."""

import math

import pytest
from over_draws import LARGER, NOISE, SMALLER, UNKNOWN, interval, paired


def test_the_t_interval_of_three_values_is_that_of_the_tables() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # t(0.975, 2) = 4.302653, s = 1
    assert found.text() == "2.00 ± 2.48"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([1.0, 2.0, 3.0], NOISE),
        ([1.9, 2.0, 2.1], LARGER),
        ([-1.9, -2.0, -2.1], SMALLER),
        ([0.0, 0.0, 0.0], NOISE),
        ([5.0], UNKNOWN),
    ],
)
def test_a_difference_whose_interval_holds_nought_is_noise(values: list[float], word: str) -> None:
    found = interval(values)
    assert found.word == word
    assert found.told_apart == (word in {LARGER, SMALLER})


def test_one_value_shows_no_interval() -> None:
    assert interval([0.5]).text(sign=True) == "+0.50"


def test_differences_are_taken_draw_by_draw() -> None:
    """The draws vary by far more than the methods differ, and yet these are told apart."""
    one, other = [10.1, 50.0, 90.2], [9.0, 49.0, 89.0]
    assert paired(one, other).word == LARGER
    assert paired(other, one).word == SMALLER
    assert abs(interval(one).mean - interval(other).mean) < interval(one).half


def test_a_draw_without_a_number_is_left_out() -> None:
    assert paired([1.0, math.nan, 3.0], [0.0, 0.0, 2.0]) == interval([1.0, 1.0])
    nothing = paired([math.nan], [1.0])
    assert (nothing.count, nothing.word) == (0, UNKNOWN)
