"""Per-example gradients in every form, alone and summed over several uses, against a loop in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from speu_cli.statistics.factors import (
    Dense,
    Factor,
    Outer,
    Rows,
    Summed,
    examples_in,
    spanned_rows,
    together,
)
from speu_cli.statistics.wanted import Part

HEIGHT, WIDTH = 5, 4
PRECISIONS = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 1e-5}
Lengths = list[int]


@dataclass(frozen=True)
class Use:
    """A factor, and the gradient ``[HEIGHT, WIDTH]`` of each of its examples in float64."""

    factor: Factor
    gradients: list[Tensor]


def spread(lengths: Lengths, gap: int) -> Tensor:
    """Spans of these lengths, with rows between them that belong to no example."""
    starts, row = [], gap
    for length in lengths:
        starts.append(row)
        row += length + gap
    return torch.tensor([[*pair] for pair in zip(starts, lengths, strict=True)])


def values(spans: Tensor, width: int, dtype: torch.dtype, draw: torch.Generator) -> Tensor:
    """Random rows, NaN outside every span."""
    rows = torch.full((int(spans.sum(1).max()) + 1, width), torch.nan, dtype=dtype)
    for first, length in spans.tolist():
        rows[first : first + length] = torch.randn(length, width, generator=draw).to(dtype)
    return rows


def outer(lengths: Lengths, dtype: torch.dtype, draw: torch.Generator, gap: int = 1) -> Use:
    spans = spread(lengths, gap)
    inputs, deltas = values(spans, WIDTH, dtype, draw), values(spans, HEIGHT, dtype, draw)
    return Use(Outer(inputs, deltas, spans), of_outer(inputs, deltas, spans))


def of_outer(inputs: Tensor, deltas: Tensor, spans: Tensor) -> list[Tensor]:
    gradients = []
    for first, length in spans.tolist():
        gradient = torch.zeros(deltas.shape[1], inputs.shape[1], dtype=torch.float64)
        for row in range(first, first + length):
            gradient += torch.outer(deltas[row].double(), inputs[row].double())
        gradients.append(gradient)
    return gradients


def rows(lengths: Lengths, dtype: torch.dtype, draw: torch.Generator, gap: int = 1) -> Use:
    spans = spread(lengths, gap)
    deltas = values(spans, WIDTH, dtype, draw)
    index = torch.randint(HEIGHT, (len(deltas),), generator=draw)
    gradients = []
    for first, length in spans.tolist():
        gradient = torch.zeros(HEIGHT, WIDTH, dtype=torch.float64)
        for row in range(first, first + length):
            gradient[index[row]] += deltas[row].double()
        gradients.append(gradient)
    return Use(Rows(index, deltas, spans, HEIGHT), gradients)


def dense(lengths: Lengths, dtype: torch.dtype, draw: torch.Generator, gap: int = 1) -> Use:
    """Rules make them in single precision at least."""
    wide = torch.promote_types(dtype, torch.float32)
    gradients = torch.randn(len(lengths), HEIGHT, WIDTH, generator=draw).to(wide)
    return Use(Dense(gradients.clone), list(gradients.double()))


KINDS: dict[str, Callable[..., Use]] = {"outer": outer, "rows": rows, "dense": dense}
ragged = st.lists(st.integers(0, 5), min_size=1, max_size=5)
several = st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=3)
seeds = st.integers(0, 999)


def check(factor: Factor, gradients: list[Tensor], dtype: torch.dtype) -> None:
    """The totals are of single precision at least; the second time it is added to what is there."""
    tolerance = PRECISIONS[dtype]
    total = torch.promote_types(dtype, torch.float32)
    squares, sums = torch.zeros(2, *gradients[0].shape, dtype=total).unbind()
    for _ in range(2):
        factor.add_to(squares, sums)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    count = len(gradients)
    assert (squares - 2 * sum(g**2 for g in gradients)).abs().max() <= 2 * count * tolerance * largest**2
    assert (sums - 2 * sum(gradients)).abs().max() <= 2 * count * tolerance * largest
    for k, gradient in enumerate(gradients):
        assert (factor.of_example(k) - gradient).abs().max() <= tolerance * largest
    assert examples_in(factor) == count


def check_with_parts(factor: Factor, gradients: list[Tensor], dtype: torch.dtype) -> None:
    check(factor, gradients, dtype)
    for axis, indices in ((0, torch.tensor([3, 0])), (1, torch.tensor([2]))):
        of_part = [gradient.index_select(axis, indices) for gradient in gradients]
        check(factor.select(Part((axis,), indices)), of_part, dtype)


dtypes = pytest.mark.parametrize("dtype", PRECISIONS, ids=["double", "single", "half"])


@dtypes
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(lengths=ragged, seed=seeds, gap=st.integers(0, 2))
def test_each_form(dtype: torch.dtype, kind: str, lengths: Lengths, seed: int, gap: int) -> None:
    use = KINDS[kind](lengths, dtype, torch.Generator().manual_seed(seed), gap)
    check_with_parts(use.factor, use.gradients, dtype)


@dtypes
@settings(max_examples=60, deadline=None)
@given(kinds=several, lengths=ragged, seed=seeds, data=st.data())
def test_uses_of_a_parameter_are_summed_before_they_are_squared(
    dtype: torch.dtype, kinds: list[str], lengths: Lengths, seed: int, data: st.DataObject
) -> None:
    """Not every use has an example's tokens in as many rows, or any rows at all of it."""
    draw = torch.Generator().manual_seed(seed)
    uses = []
    for kind in kinds:
        of_use = [data.draw(st.sampled_from([length, 0, 1])) for length in lengths]
        uses.append(KINDS[kind](of_use, dtype, draw))
    gradients = [
        torch.stack(of_example).sum(0) for of_example in zip(*(u.gradients for u in uses), strict=True)
    ]
    assume(max(float(gradient.abs().max()) for gradient in gradients) > 0.1)  # not next to nothing, by chance
    check_with_parts(together([use.factor for use in uses]), gradients, dtype)


@pytest.mark.parametrize(
    ("kinds", "form"),
    [
        (["outer", "outer"], Outer),
        (["dense", "dense"], Dense),
        (["rows", "outer"], Summed),
        (["rows", "rows"], Summed),
        (["outer", "dense"], Summed),
    ],
)
def test_form_of_several_uses(kinds: list[str], form: type) -> None:
    draw = torch.Generator().manual_seed(0)
    factors = [KINDS[kind]([2, 1], torch.float64, draw).factor for kind in kinds]
    assert isinstance(together(factors), form)
    assert together(factors[:1]) is factors[0]


def one_position_each(lengths: Lengths, active: list[int], seed: int) -> Outer:
    """Where δ is zero but at one position of each example, or at none of it."""
    draw = torch.Generator().manual_seed(seed)
    factor = outer(lengths, torch.float64, draw).factor
    assert isinstance(factor, Outer)
    for (first, length), position in zip(factor.spans.tolist(), active, strict=True):
        kept = torch.zeros(length, dtype=torch.bool)
        if length and position >= 0:
            kept[position % length] = True
        factor.deltas[first : first + length][~kept] = 0
    return factor


@settings(max_examples=60, deadline=None)
@given(data=st.data(), lengths=ragged, seed=seeds)
def test_products_of_squares_where_each_example_has_one_position(
    data: st.DataObject, lengths: Lengths, seed: int
) -> None:
    active = [data.draw(st.integers(-1, 9)) for _ in lengths]
    factor = one_position_each(lengths, active, seed)
    assert factor._single_positions() is not None
    found, general = torch.zeros(2, 2, HEIGHT, WIDTH, dtype=torch.float64).unbind()
    factor.add_to(*found.unbind())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outer, "_single_positions", lambda _: None)
        factor.add_to(*general.unbind())
    assert (found - general).abs().max() <= 1e-14 * general.abs().max()
    check_with_parts(factor, of_outer(factor.inputs, factor.deltas, factor.spans), torch.float64)


@pytest.mark.parametrize("second", range(3))
def test_a_second_position_of_any_example_is_not_overlooked(second: int) -> None:
    """The longest example is looked at first."""
    factor = one_position_each([3, 2, 5], [0, 0, 0], 0)
    factor.deltas[factor.spans[second, 0] + 1] = 1.0
    assert factor._single_positions() is None
    check(factor, of_outer(factor.inputs, factor.deltas, factor.spans), torch.float64)


def test_two_uses_with_one_position_each_do_not_pass_for_one() -> None:
    uses = [one_position_each([3, 2], [0, 1], seed) for seed in (0, 1)]
    factor = together(list(uses))
    assert isinstance(factor, Outer)
    assert factor._single_positions() is None
    gradients = [of_outer(use.inputs, use.deltas, use.spans) for use in uses]
    check(factor, [torch.stack(pair).sum(0) for pair in zip(*gradients, strict=True)], torch.float64)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=8), gap=st.integers(0, 3))
def test_spanned_rows(lengths: Lengths, gap: int) -> None:
    spans = spread(lengths, gap)
    expected = [row for first, length in spans.tolist() for row in range(first, first + length)]
    assert spanned_rows(spans).tolist() == expected
    backwards = spans.flip(0)
    expected = [row for first, length in backwards.tolist() for row in range(first, first + length)]
    assert spanned_rows(backwards).tolist() == expected


def test_examples_of_what_is_no_factor() -> None:
    with pytest.raises(TypeError, match="no factor: str"):
        examples_in("x")  # type: ignore[arg-type]


def test_small_gradients_are_made_once_for_all_examples() -> None:
    made = []

    def make() -> Tensor:
        made.append(torch.arange(6.0).reshape(3, 2))
        return made[-1]

    factor = Dense(make)
    found = [factor.of_example(k).tolist() for k in range(examples_in(factor))]
    assert found == [[0, 1], [2, 3], [4, 5]]
    assert len(made) == 1
