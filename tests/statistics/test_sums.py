"""Statistics as a set algebra."""

from functools import reduce
from operator import add

import pytest
import torch

from laws import largest_difference
from speu_cli.statistics.sums import NOISE, DisjointUnion, Statistics, subtract_squares


def random_statistics(count: int, seed: int) -> Statistics:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return Statistics(
        count,
        fisher={"w": (rows**2).sum(0)},
        gradient={"w": rows.sum(0)},
        mask_gradient={"heads/0": rows.sum(0)},
        mask_fisher={"heads/0": rows.T @ rows},
    )


def sampled_statistics(keys: list[int], sample: list[int], seed: int = 0) -> Statistics:
    """Of the examples with these keys; each key's gradients are its own, wherever it is summed."""
    rows = torch.randn(100, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    kept = sorted(set(keys) & set(sample))
    return Statistics(
        len(keys),
        fisher={},
        gradient={},
        mask_gradient={"filters/0": rows[keys].sum(0)},
        mask_fisher={"filters/0": (rows[keys] ** 2).sum(0)},
        mask_rows={"filters/0": rows[kept]},
        sampled=torch.tensor(kept, dtype=torch.int64),
    )


def assert_same_sample(one: Statistics, other: Statistics) -> None:
    assert one.count == other.count
    assert torch.equal(one.sampled, other.sampled)
    assert torch.equal(one.mask_rows["filters/0"], other.mask_rows["filters/0"])
    for part in ("mask_gradient", "mask_fisher"):
        mine, theirs = getattr(one, part)["filters/0"], getattr(other, part)["filters/0"]
        assert torch.allclose(mine, theirs, rtol=1e-12)


def test_a_sample_of_a_union_is_both_samples_in_order_of_their_keys() -> None:
    sample = [3, 40, 41, 90]
    one, other = [1, 3, 90, 7], [41, 2, 40]
    union = sampled_statistics(one, sample) + sampled_statistics(other, sample)
    assert_same_sample(union, sampled_statistics([*one, *other], sample))
    assert union.sampled.tolist() == [3, 40, 41, 90]


def test_the_examples_that_are_subtracted_leave_the_sample() -> None:
    sample = [3, 40, 41, 90]
    full, part = [1, 2, 3, 7, 40, 41, 90], [3, 7, 90]
    rest = sampled_statistics(full, sample) - sampled_statistics(part, sample)
    assert_same_sample(rest, sampled_statistics([1, 2, 40, 41], sample))
    assert not len((rest - sampled_statistics([40, 41], sample)).sampled)


def test_scaling_leaves_the_sample_as_it_is() -> None:
    """Its scale n/s follows from the count, so that it would otherwise be scaled twice."""
    few = sampled_statistics([1, 3, 40, 41], [3, 41])
    many = few.scaled_to(40)
    assert many.count == 40
    assert torch.equal(many.mask_rows["filters/0"], few.mask_rows["filters/0"])
    assert torch.equal(many.sampled, few.sampled)
    assert torch.allclose(many.mask_fisher["filters/0"], 10 * few.mask_fisher["filters/0"])


def test_a_sample_and_none_do_not_mix() -> None:
    one = sampled_statistics([1, 3], [3])
    other = Statistics(1, {}, {}, one.mask_gradient, one.mask_fisher)
    with pytest.raises(ValueError, match="different models"):
        one + other


def test_a_union_is_the_sum_of_its_sets_and_leaves_them_as_they_are() -> None:
    sample = [3, 40, 41, 90]
    parts = [sampled_statistics(keys, sample) for keys in ([1, 3, 90, 7], [41, 2], [40], [5])]
    copies = [sampled_statistics(keys, sample) for keys in ([1, 3, 90, 7], [41, 2], [40], [5])]
    union = DisjointUnion()
    for part in parts:
        union.add(part)
    assert_same_sample(union.statistics(), reduce(add, copies))
    for part, copy in zip(parts, copies, strict=True):
        assert_same_sample(part, copy)


def test_a_union_is_in_double_precision() -> None:
    union = DisjointUnion()
    for value in (1.0, 1e-9):
        union.add(Statistics(1, {"w": torch.tensor([value])}, {}, {}, {}))
    assert union.statistics().fisher["w"].item() == pytest.approx(1 + 1e-9, rel=1e-15)


@pytest.mark.parametrize("other", [{"v": torch.zeros(3)}, {"w": torch.zeros(1)}, {}])
def test_a_union_is_of_one_model(other: dict[str, torch.Tensor]) -> None:
    union = DisjointUnion()
    union.add(Statistics(1, {"w": torch.zeros(3)}, {}, {}, {}))
    with pytest.raises(ValueError, match=r"'fisher' of [vw] is missing, unknown or misshapen"):
        union.add(Statistics(1, other, {}, {}, {}))


def test_adding_and_subtracting_are_inverse() -> None:
    one, other = random_statistics(5, 0), random_statistics(7, 1)
    assert largest_difference((one + other) - other, one) < 1e-12
    assert (one + other).count == 12


def test_statistics_of_different_models_do_not_mix() -> None:
    one = random_statistics(5, 0)
    other = Statistics(1, {"v": torch.ones(3)}, one.gradient, one.mask_gradient, one.mask_fisher)
    with pytest.raises(ValueError, match="different models"):
        one + other


def test_a_difference_that_rounding_could_have_made_is_zero_curvature() -> None:
    exact = torch.rand(1000, dtype=torch.float64) + 0.5
    stored, again = exact.float().double(), (exact * (1 + 1e-7)).float().double()
    assert (again - stored).abs().max() > 0
    assert not subtract_squares(again, stored).any()


def test_a_real_difference_is_kept() -> None:
    total = torch.tensor([1.0, 4.0], dtype=torch.float64)
    part = total * (1 - 10 * NOISE)
    assert torch.equal(subtract_squares(total, part), total - part)


def test_a_sample_stands_for_the_whole() -> None:
    sample = random_statistics(5, 0)
    whole = sample.scaled_to(50)
    assert whole.count == 50
    assert torch.allclose(whole.fisher["w"] / 50, sample.fisher["w"] / 5)
    assert torch.allclose(whole.mask_fisher["heads/0"], 10 * sample.mask_fisher["heads/0"])
    assert sample.scaled_to(5) is sample
