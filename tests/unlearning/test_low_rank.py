"""The step with coherent directions in its curvature, against the dense matrix."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from laws import Case, make_case
from oracles import directions as oracle
from speu_cli.statistics.collector import collect
from speu_cli.statistics.directions import Directions
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.low_rank import newton_step
from speu_cli.unlearning.second_order import Direction, second_order_direction, slices_of

SHAPES = {"a": (3, 4), "b": (5,)}
DAMPING = 0.1


def drawn(seed: int, *leading: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(*leading, *shape, generator=draw, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }


def flat(tensors: dict[str, Tensor], leading: int = 0) -> Tensor:
    return torch.cat([tensor.flatten(leading) for tensor in tensors.values()], -1)


def each(tensors: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    """By parameter, the directions one by one."""
    return {name: list(tensor) for name, tensor in tensors.items()}


def inverses(seed: int = 7) -> dict[str, Tensor]:
    return {name: tensor.square() + 0.1 for name, tensor in drawn(seed).items()}


@pytest.mark.parametrize("stiffness", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_is_the_inverse_of_the_dense_curvature(count: int, stiffness: float) -> None:
    g, along, inverse = drawn(0), drawn(1, count), inverses()
    found = newton_step(g, inverse, each(along), stiffness)
    expected = oracle.dense_step(flat(g), 1 / flat(inverse), flat(along, 1), stiffness)
    assert torch.allclose(flat(found), expected, rtol=1e-10)


def test_a_stiffness_of_one_halves_the_movement_along_a_direction() -> None:
    g, along, inverse = drawn(0), drawn(1, 1), inverses()
    free = flat({name: inverse[name] * g[name] for name in g})
    found = flat(newton_step(g, inverse, each(along), 1.0))
    u = flat(along, 1)[0]
    assert float(u @ found) == pytest.approx(float(u @ free) / 2, rel=1e-12)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_at_infinity_nothing_moves_along_any_of_them_whatever_their_size(size: float) -> None:
    g, along, inverse = drawn(0), drawn(1, 4), inverses()
    found = flat(newton_step(g, inverse, each({name: size * u for name, u in along.items()}), math.inf))
    u = flat(along, 1)
    assert float((u @ found).abs().max()) < 1e-12 * float(u.norm() * found.norm())
    assert torch.allclose(found, flat(newton_step(g, inverse, each(along), 1e9)), rtol=1e-6)


def test_a_direction_twice_and_one_that_is_nothing_hold_no_more_than_one() -> None:
    g, inverse, one = drawn(0), inverses(), drawn(1, 1)
    many = {name: torch.cat([u, 3 * u, torch.zeros_like(u)]) for name, u in one.items()}
    found = newton_step(g, inverse, each(many), math.inf)
    assert torch.allclose(flat(found), flat(newton_step(g, inverse, each(one), math.inf)), rtol=1e-10)


def test_without_directions_it_is_the_diagonal_step() -> None:
    g, inverse = drawn(0), inverses()
    found = newton_step(g, inverse, each(drawn(1, 0)), 1.0)
    assert torch.equal(flat(found), flat(inverse) * flat(g))
    assert newton_step({}, {}, {}, 1.0) == {}


def sums_of(case: Case) -> tuple[Statistics, Statistics]:
    """S(D_f) and S(D_r), with a direction for each class."""
    directions = Directions("classes", 2, 99)
    wanted = Wanted(
        wanted_parameters(case.model, case.layout, "structures"),
        directions=directions,
        directed=case.encoded.keys,
    )
    full, forget = (
        collect(
            case.model, case.layout, case.task, case.encoded.select(part), batch_tokens=100, wanted=wanted
        ).statistics
        for part in (range(17), range(4))
    )
    return forget, full - forget


def half_mask(case: Case) -> Mask:
    return Mask(case.layout, {group.key: torch.arange(group.count) % 2 == 0 for group in case.layout})


def values(direction: Direction) -> Tensor:
    return torch.cat([step.values.flatten() for step in direction.steps.values()])


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_step_of_a_model_is_that_of_the_dense_curvature_on_the_masks_slices(
    family: str, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family)
    forget, remaining = sums_of(case)
    # Some of the slices, so that a dense matrix has room.
    flags = {group.key: torch.arange(group.count) < 1 for group in case.layout}
    mask = Mask(case.layout, flags)
    g, p, u = [], [], []
    for name, axes, indices in mask.slices():
        curvature = remaining.fisher[name] / remaining.count
        p.append((slices_of(curvature, axes, indices) + DAMPING * curvature.mean()).flatten())
        g.append(slices_of(forget.gradient[name], axes, indices).flatten())
        u.append(torch.stack([slices_of(one, axes, indices).flatten() for one in remaining.directions[name]]))
    expected = oracle.dense_step(torch.cat(g), torch.cat(p), torch.cat(u, 1), 3.0)
    found = second_order_direction(forget, remaining, mask, damping=DAMPING, stiffness=3.0)
    assert torch.allclose(values(found), expected, rtol=1e-7)


def test_of_slices_alone_the_step_is_the_same_as_of_whole_parameters(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forget, remaining = sums_of(case)
    mask = half_mask(case)

    def sliced(sums: Statistics) -> Statistics:
        parts: dict[str, dict[str, Tensor]] = {"fisher": {}, "gradient": {}, "directions": {}}
        for name, axes, indices in mask.slices():
            for part in ("fisher", "gradient"):
                parts[part][name] = slices_of(getattr(sums, part)[name], axes, indices)
            of_directions = [slices_of(one, axes, indices) for one in sums.directions[name]]
            parts["directions"][name] = torch.stack(of_directions)
        return replace(sums, **parts)  # type: ignore[arg-type]

    # λ is relative to the mean of what there is, so it is left out.
    one, other = (
        second_order_direction(f, r, mask, damping=0, stiffness=1.0)
        for f, r in ((forget, remaining), (sliced(forget), sliced(remaining)))
    )
    assert torch.equal(values(one), values(other))


def test_at_infinity_the_mean_log_odds_of_each_class_stay_to_first_order(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forget, remaining = sums_of(case)
    rest = case.encoded.select(range(4, 17))

    def means() -> Tensor:
        inputs, labels = rest.collate(range(13))
        z = case.task.standings(case.model(**inputs).logits, labels)
        return torch.stack([z[labels == one].mean() for one in (0, 1)])

    moved = {}
    for stiffness in (None, math.inf):
        direction = second_order_direction(
            forget, remaining, half_mask(case), damping=DAMPING, stiffness=stiffness
        )
        rate = 1e-5 / float(values(direction).norm())
        before = means()
        with direction.applied(case.model, rate):
            moved[stiffness] = float((means() - before).abs().max())
    assert moved[None] > 1e-6
    assert moved[math.inf] < 1e-3 * moved[None]


def test_without_a_stiffness_directions_change_no_bit(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forget, remaining = sums_of(case)
    plain = replace(remaining, directions={}, direction_weights=torch.zeros(0))
    one, other = (
        second_order_direction(forget, sums, half_mask(case), damping=DAMPING) for sums in (remaining, plain)
    )
    assert torch.equal(values(one), values(other))


def test_entries_that_may_not_change_hold_nothing(tmp_path: Path) -> None:
    """What is held is the movement of those that may: along the directions they have no part in it."""
    case = make_case(tmp_path)
    forget, remaining = sums_of(case)
    mask = half_mask(case)
    draw = torch.Generator().manual_seed(3)
    within = {
        name: torch.rand(step.values.shape, generator=draw) < 0.5
        for name, step in second_order_direction(forget, remaining, mask, damping=DAMPING).steps.items()
    }
    chosen = replace(mask, within=within)
    direction = second_order_direction(forget, remaining, chosen, damping=DAMPING, stiffness=math.inf)
    before = {name: case.model.get_parameter(name).clone() for name in direction.steps}
    direction.apply(case.model, 1.0)
    shift = {name: case.model.get_parameter(name) - before[name] for name in before}
    for k in range(2):
        u = {name: remaining.directions[name][k] for name in shift}
        size = math.sqrt(
            sum(float(u[n].square().sum()) for n in u) * sum(float(s.square().sum()) for s in shift.values())
        )
        assert abs(sum(float((u[name] * shift[name]).sum()) for name in u)) < 1e-9 * size


def test_a_class_of_which_nobody_is_left_is_not_held(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forget, remaining = sums_of(case)
    noise = {
        name: u + torch.tensor([0.0, 1e-9]).reshape(-1, *[1] * (u.ndim - 1))
        for name, u in remaining.directions.items()
    }
    first = {name: u[:1] for name, u in remaining.directions.items()}
    weights = remaining.direction_weights
    one = replace(remaining, directions=noise, direction_weights=torch.tensor([float(weights[0]), 0.0]))
    other = replace(remaining, directions=first, direction_weights=weights[:1])
    steps = [
        values(second_order_direction(forget, sums, half_mask(case), damping=DAMPING, stiffness=math.inf))
        for sums in (one, other)
    ]
    assert torch.allclose(*steps, rtol=1e-10)
