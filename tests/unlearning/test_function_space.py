"""The step in function space: against its quadratic, and where the model is linear in what moves."""

import pytest
import torch
from torch import nn

from oracles.function_space import least_step
from speu_cli.structures.layout import Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.function_space import gram, row_direction, row_weights

UNITS, ROWS = 6, 5


def half_mask() -> Mask:
    """Of filters that own rows of one parameter and columns of another, every other one."""
    slices = (Slice("up", (0,), 1), Slice("down", (1,), 1))
    layout = Layout((UnitGroup("filters", 0, UNITS, slices, "out"),))
    return Mask(layout, {"filters/0": torch.arange(UNITS) % 2 == 0})


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def rows_and_curvature(
    draw: torch.Generator,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    shapes = {"up": (UNITS // 2, 4), "down": (2, UNITS // 2)}
    rows = {
        name: torch.randn(ROWS, a * b, generator=draw, dtype=torch.float64) for name, (a, b) in shapes.items()
    }
    inverse = {
        name: torch.rand(shape, generator=draw, dtype=torch.float64) + 0.1 for name, shape in shapes.items()
    }
    return rows, inverse


def flat(tensors: dict[str, torch.Tensor], dim: int = 0) -> torch.Tensor:
    return torch.cat([tensors["up"].flatten(dim), tensors["down"].flatten(dim)], dim)


@pytest.mark.parametrize("ridge", [1e-4, 0.1, 10.0])
def test_is_the_least_of_its_quadratic(ridge: float, draw: torch.Generator) -> None:
    rows, inverse = rows_and_curvature(draw)
    wanted = torch.randn(ROWS, generator=draw, dtype=torch.float64)
    products = gram(rows, inverse)
    weights = row_weights(products, wanted, ridge)
    steps = row_direction(rows, inverse, weights, half_mask()).steps
    softness = ridge * float(products.diagonal().mean())
    expected = least_step(flat(rows, 1), wanted, 1 / flat(inverse), softness)
    found = flat({name: step.values for name, step in steps.items()})
    assert torch.allclose(found, expected, rtol=1e-8)


def test_products_add_up_over_blocks_of_parameters(draw: torch.Generator) -> None:
    rows, inverse = rows_and_curvature(draw)
    parts = [gram({name: rows[name]}, inverse) for name in rows]
    assert torch.allclose(sum(parts), gram(rows, inverse), rtol=1e-12)


def test_with_a_small_ridge_every_example_lands_on_its_target(draw: torch.Generator) -> None:
    """Outputs linear in the slices: a step of J⁺ is exact, and held examples stay."""
    rows, inverse = rows_and_curvature(draw)
    wanted = torch.tensor([1.0, -2.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    weights = row_weights(gram(rows, inverse), wanted, 1e-10)
    steps = row_direction(rows, inverse, weights, half_mask()).steps
    moved = flat(rows, 1) @ flat({name: step.values for name, step in steps.items()})
    assert torch.allclose(moved, wanted, atol=1e-7)


def test_what_has_no_curvature_or_may_not_change_stays(draw: torch.Generator) -> None:
    rows, inverse = rows_and_curvature(draw)
    inverse["up"][1] = 0.0
    weights = row_weights(gram(rows, inverse), torch.ones(ROWS, dtype=torch.float64), 0.1)
    direction = row_direction(rows, inverse, weights, half_mask())
    assert (direction.steps["up"].values[1] == 0).all()
    assert (direction.steps["up"].values[0] != 0).all()
    model = nn.Module()
    for name, shape in {"up": (UNITS, 4), "down": (2, UNITS)}.items():
        model.register_parameter(
            name, nn.Parameter(torch.zeros(shape, dtype=torch.float64), requires_grad=False)
        )
    direction.apply(model, 1.0)
    up, down = model.get_parameter("up"), model.get_parameter("down")
    assert (up[1::2] == 0).all()
    assert (down[:, 1::2] == 0).all()
    assert (up[2] == 0).all()  # the second selected unit, without curvature
    assert (up[0] != 0).all()


def test_rows_without_gradients_get_no_weight() -> None:
    nothing = torch.zeros(3, 3, dtype=torch.float64)
    assert torch.equal(row_weights(nothing, torch.ones(3, dtype=torch.float64), 0.1), torch.zeros(3).double())
