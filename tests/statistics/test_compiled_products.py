"""Σ of per-example products and of their squares on the processor, against a loop in float64."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speu_cli.statistics.kernels import compiled, tiles

Way = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]


class Case(NamedTuple):
    """Totals that are not zero, factors, spans with rows between them that belong to no example."""

    squares: Tensor
    sums: Tensor
    inputs: Tensor
    deltas: Tensor
    spans: Tensor


def make_case(
    width: int,
    height: int,
    lengths: list[int],
    dtype: torch.dtype,
    *,
    seed: int = 0,
    gap: int = 2,
    cut: int = 3,
) -> Case:
    """Random factors, as columns ``cut:`` of wider tensors, NaN in the rows outside every span."""
    random = torch.Generator().manual_seed(seed)
    starts, rows = [], gap
    for length in lengths:
        starts.append(rows)
        rows += length + gap
    spans = torch.tensor([[*pair] for pair in zip(starts, lengths, strict=True)], dtype=torch.int64).view(
        -1, 2
    )
    unused = torch.ones(rows, dtype=torch.bool)
    for first, length in spans.tolist():
        unused[first : first + length] = False

    def factor(columns: int) -> Tensor:
        values = torch.randn(rows, columns + cut, generator=random, dtype=torch.float64).to(dtype)
        values[unused] = torch.nan
        return values[:, cut:]

    total = torch.float64 if dtype == torch.float64 else torch.float32
    squares, sums = torch.randn(2, height, width, generator=random, dtype=total).unbind()
    return Case(squares, sums, factor(width), factor(height), spans)


def expected(case: Case) -> tuple[Tensor, Tensor]:
    """The totals afterwards: one outer product a row, in float64."""
    squares, sums = case.squares.double(), case.sums.double()
    for first, length in case.spans.tolist():
        product = torch.zeros_like(squares)
        for row in range(first, first + length):
            product += torch.outer(case.deltas[row].double(), case.inputs[row].double())
        squares, sums = squares + product**2, sums + product
    return squares, sums


def check(way: Way, case: Case, tolerance: float) -> None:
    wanted = expected(case)
    way(*case)
    for got, right in zip((case.squares, case.sums), wanted, strict=True):
        assert float((got.double() - right).abs().max()) <= tolerance * float(right.abs().max())


def require_compiled(case: Case) -> None:
    """Skip where there was no compiler, or the processor is another; not where a case does not fit."""
    if compiled._library() is None:
        pytest.skip("the compiled loop is not there")
    assert compiled.fits(case.squares, case.sums, case.inputs, case.deltas)


sizes = st.integers(1, 90)
ragged = st.lists(st.integers(0, 40), max_size=12)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, ragged, st.integers(0, 2), st.integers(0, 3), st.sampled_from(compiled.INPUTS))
def test_compiled_is_the_loop(
    width: int, height: int, lengths: list[int], gap: int, cut: int, dtype: torch.dtype
) -> None:
    case = make_case(width, height, lengths, dtype, gap=gap, cut=cut)
    require_compiled(case)
    check(compiled.add_products, case, 1e-5)


@settings(max_examples=30, deadline=None)
@given(
    sizes,
    sizes,
    ragged,
    st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.bfloat16, 1e-5)]),
)
def test_tiles_are_the_loop(
    width: int, height: int, lengths: list[int], precision: tuple[torch.dtype, float]
) -> None:
    dtype, tolerance = precision
    check(tiles.add_products, make_case(width, height, lengths, dtype), tolerance)


def test_tiles_of_a_few_rows_are_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 7 * 13 // torch.get_num_threads())
    check(tiles.add_products, make_case(13, 50, [4, 0, 9], torch.float64), 1e-10)


@pytest.mark.parametrize("lengths", [[150] * 16, [2500, 3, 0, 1200, 1200, 1], [9000]])
def test_more_rows_than_are_packed_at_a_time(lengths: list[int]) -> None:
    """Several groups of examples, an example longer than a group, a panel larger than a block of inputs."""
    case = make_case(131, 14, lengths, torch.float32)
    require_compiled(case)
    check(compiled.add_products, case, 1e-5)


@pytest.mark.parametrize("width", [31, 384, 769])
def test_number_of_threads_does_not_change_a_bit(width: int) -> None:
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            case = make_case(width, 200, [64, 1, 0, 700, 33], torch.float32)
            require_compiled(case)
            compiled.add_products(*case)
            results.append(case)
    finally:
        torch.set_num_threads(before)
    assert results[0].squares.isfinite().all()
    for other in results[1:]:
        assert torch.equal(other.squares, results[0].squares)
        assert torch.equal(other.sums, results[0].sums)


@pytest.mark.parametrize("lengths", [[], [0, 0]])
@pytest.mark.parametrize("way", [compiled.add_products, tiles.add_products])
def test_no_rows_leave_the_totals(way: Way, lengths: list[int]) -> None:
    case = make_case(40, 20, lengths, torch.float32)
    require_compiled(case)
    before = case.squares.clone(), case.sums.clone()
    way(*case)
    assert torch.equal(case.squares, before[0])
    assert torch.equal(case.sums, before[1])


def test_span_past_the_end_is_refused() -> None:
    case = make_case(40, 20, [5], torch.float32)
    require_compiled(case)
    before = case.squares.clone()
    for spans in ([[0, 10]], [[-1, 2]]):
        with pytest.raises(IndexError):
            compiled.add_products(*case[:4], torch.tensor(spans))
    assert torch.equal(case.squares, before)


def test_what_the_compiled_loop_leaves_to_others() -> None:
    case = make_case(40, 20, [5], torch.float32)
    require_compiled(case)
    factors = (case.inputs, case.deltas)
    assert not compiled.fits(case.squares.double(), case.sums.double(), *factors)
    assert not compiled.fits(case.squares, case.sums, case.inputs.double(), case.deltas.double())
    assert not compiled.fits(torch.zeros(40, 20).T, case.sums, *factors)
    assert not compiled.fits(case.squares, case.sums, torch.zeros(40, len(case.inputs)).T, case.deltas)
    assert not compiled.fits(case.squares[:, :20], case.sums[:, :20], *factors)
