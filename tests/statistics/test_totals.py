"""Sums in single precision that do not wear out, against exact arithmetic."""

from fractions import Fraction
from math import fsum

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speu_cli.statistics.totals import ADDITIONS, Total

CPU = torch.device("cpu")
MILLION = 10**6
Array = NDArray[np.float32]

unhurried = settings(deadline=None)
singles = st.floats(-(2.0**100), 2.0**100, width=32)
doubles = st.floats(-(2.0**900), 2.0**900)


def total_of(value: float, small: float, dtype: torch.dtype) -> Total:
    total = Total((1,), dtype, CPU)
    total.value.fill_(value)
    total.small.fill_(small)
    return total


def exact(total: Total) -> Fraction:
    return Fraction(float(total.value)) + Fraction(float(total.small))


def half_a_unit(number: np.floating) -> Fraction:
    """By so much may the nearest float be off."""
    return Fraction(float(np.spacing(abs(number)))) / 2


def assert_folded_exactly(value: float, small: float, dtype: torch.dtype) -> None:
    total = total_of(value, small, dtype)
    before = exact(total)
    total.fold()
    assert exact(total) == before
    nearest = float(total.value)
    assert abs(exact(total) - Fraction(nearest)) <= half_a_unit(total.value.numpy()[0])
    total.fold()  # nothing is left to move
    assert float(total.value) == nearest
    assert exact(total) == before


@unhurried
@given(singles, singles)
def test_folding_changes_no_sum_of_single_precision(value: float, small: float) -> None:
    assert_folded_exactly(value, small, torch.float32)


@unhurried
@given(doubles, doubles)
def test_folding_changes_no_sum_of_double_precision(value: float, small: float) -> None:
    assert_folded_exactly(value, small, torch.float64)


@unhurried
@given(singles, singles)
def test_the_result_is_the_sum_rounded_once(value: float, small: float) -> None:
    of_double = total_of(value, small, torch.float32).result(torch.float64)
    assert of_double.dtype == torch.float64
    assert float(of_double) == float(Fraction(value) + Fraction(small))
    of_single = total_of(value, small, torch.float32).result(torch.float32)
    assert of_single.dtype == torch.float32
    error = abs(Fraction(float(of_single)) - Fraction(value) - Fraction(small))
    assert error <= half_a_unit(of_single.numpy()[0])


@unhurried
@given(doubles, doubles)
def test_the_result_of_a_sum_of_double_precision(value: float, small: float) -> None:
    of_double = total_of(value, small, torch.float64).result(torch.float64)
    assert float(of_double) == float(Fraction(value) + Fraction(small))


def test_a_sum_of_double_precision_is_given_in_single_precision_with_its_small_part() -> None:
    of_single = total_of(1.0 + 2.0**-10, 2.0**-20, torch.float64).result(torch.float32)
    assert of_single.dtype == torch.float32
    assert float(of_single) == 1.0 + 2.0**-10 + 2.0**-20


@unhurried
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=100))
def test_folded_after_each_addition_a_sum_is_off_by_a_unit_of_what_was_added(numbers: list[float]) -> None:
    """Not by a unit of the sum so far for each of them."""
    total = Total((1,), torch.float32, CPU)
    for number in numbers:
        total.small += number
        total.fold()
    sizes = sum(abs(Fraction(number)) for number in numbers)
    assert abs(exact(total) - sum(map(Fraction, numbers))) <= sizes * Fraction(torch.finfo(torch.float32).eps)


def accumulated(start: Array, terms: Array) -> Array:
    """One addition after the other, each rounded to single precision."""
    last: Array = np.add.accumulate(np.concatenate([start[None], terms]), axis=0, dtype=np.float32)[-1]
    return last


def terms(kind: str) -> Array:
    """A million of squares, of numbers all alike, or of random signs: as F and g are summed."""
    draw = np.random.default_rng(0)
    match kind:
        case "squares":
            return (draw.standard_normal((MILLION, 4)) ** 2).astype(np.float32)
        case "alike":
            return np.broadcast_to(np.array([0.1, 1 / 3, 1.7, 1e-3], dtype=np.float32), (MILLION, 4))
    return draw.standard_normal((MILLION, 4)).astype(np.float32)


@pytest.mark.parametrize("kind", ["squares", "alike", "signed"])
def test_a_million_additions_do_not_wear_a_sum_out(kind: str) -> None:
    numbers = terms(kind)
    total = Total((4,), torch.float32, CPU)
    for start in range(0, MILLION, ADDITIONS):
        added = accumulated(total.small.numpy(), numbers[start : start + ADDITIONS])
        total.small.copy_(torch.from_numpy(added))
        total.fold()
    naive = accumulated(np.zeros(4, dtype=np.float32), numbers)
    sums = np.array([fsum(column) for column in numbers.T])
    sizes = np.array([fsum(abs(column)) for column in numbers.T])
    error = np.abs(total.result(torch.float32).numpy() - sums) / sizes
    error_of_naive = np.abs(naive - sums) / sizes
    assert error.max() <= 1e-6
    if kind != "signed":  # whose sum is too small to be rounded by much
        assert error_of_naive.max() > 100 * 1e-6


def test_folding_works_in_place() -> None:
    """What others add to stays the same tensor."""
    total = total_of(1.0, 2.0, torch.float32)
    value, small = total.value, total.small
    total.fold()
    assert total.value is value
    assert total.small is small
    assert (float(value), float(small)) == (3.0, 0.0)
