"""Statistics as a set algebra."""

import pytest
import torch

from laws import largest_difference
from speu_cli.statistics.sums import NOISE, Statistics, subtract_squares


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
