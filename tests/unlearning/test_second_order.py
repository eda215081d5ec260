"""The step against closed forms, and the laws of masks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from laws import Case, make_case
from oracles import statistics as oracle
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.entries import take
from speu_cli.structures.layout import Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.second_order import second_order_direction
from tiny import FAMILIES

FORGET, SIZE = range(4), 17


def of_case(case: Case) -> tuple[Statistics, Statistics]:
    """S(D_f) and S(D_r)."""
    full, forget = (
        collect(case.model, case.layout, case.task, case.encoded.select(part), batch_tokens=100).statistics
        for part in (range(SIZE), FORGET)
    )
    return forget, full - forget


def half_mask(layout: Layout) -> Mask:
    """Every other unit."""
    return Mask(layout, {group.key: torch.arange(group.count) % 2 == 0 for group in layout})


def may_change(mask: Mask, group: UnitGroup, part: Slice) -> torch.Tensor:
    """Rows or columns of a parameter, bool: those of selected units, shared ones if any of theirs is."""
    shared = mask.selected[group.key].reshape(-1, part.shared_by).any(1)
    return shared.repeat_interleave(part.width)


def sliced(statistics: Statistics, mask: Mask) -> Statistics:
    """F and g of the mask's slices alone, as they are collected for it."""
    fisher, gradient = (
        {name: take(sums[name], axes, indices) for name, axes, indices in mask.slices()}
        for sums in (statistics.fisher, statistics.gradient)
    )
    return Statistics(statistics.count, fisher, gradient, {}, {})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_is_eq_10_from_per_example_gradients(family: str, damping: float, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    forget, remaining = of_case(case)
    mask = half_mask(case.layout)
    direction = second_order_direction(forget, remaining, mask, damping=damping)
    gradients = [
        of_example
        for of_example, _ in oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    ]
    for name, (group, (part,)) in case.layout.parameters.items():
        g = sum(gradients[x][name] for x in FORGET)
        curvature = sum(gradients[x][name] ** 2 for x in range(SIZE) if x not in FORGET) / (
            SIZE - len(FORGET)
        )
        expected = g / (curvature + damping * curvature.mean())
        entries = may_change(mask, group, part)
        selected = expected[entries] if part.axes == (0,) else expected[:, entries]
        found = direction.steps[name].values
        assert found.shape == selected.shape
        assert torch.allclose(found, torch.where(selected.isfinite(), selected, 0.0), rtol=1e-6)


def test_on_a_quadratic_the_newton_step_lands_on_the_retrained_optimum() -> None:
    """ℓ_x = ½ Σ_j h_xj (θ_j − t_xj)²: curvature Σ_x h_x, and θ* minimises the sum."""
    draw = torch.Generator().manual_seed(0)
    h = torch.rand(12, 6, generator=draw, dtype=torch.float64) + 0.1
    t = torch.randn(12, 6, generator=draw, dtype=torch.float64)

    def optimum(rows: slice) -> torch.Tensor:
        return (h[rows] * t[rows]).sum(0) / h[rows].sum(0)

    model = nn.Linear(1, 6, dtype=torch.float64).requires_grad_(False)
    model.bias.copy_(optimum(slice(None)))
    layout = Layout((UnitGroup("filters", 0, 6, (Slice("bias", (0,), 1),), "out"),))
    nothing: dict[str, torch.Tensor] = {}
    forget = Statistics(2, nothing, {"bias": (h[:2] * (model.bias - t[:2])).sum(0)}, nothing, nothing)
    remaining = Statistics(10, {"bias": h[2:].sum(0)}, nothing, nothing, nothing)
    second_order_direction(forget, remaining, Mask.ones(layout), damping=0).apply(model, 1 / remaining.count)
    assert torch.allclose(model.bias, optimum(slice(2, None)), rtol=1e-12)


def test_on_a_logistic_model_the_step_is_the_closed_form() -> None:
    """p = σ(θ_j) for an example of group j: gradient p − y, and squares that depend on labels alone."""
    theta = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    labels = torch.tensor([1.0, 0, 1, 0, 1, 1, 1, 0, 1], dtype=torch.float64)
    rows = torch.zeros(9, 3, dtype=torch.float64)
    rows[torch.arange(9), groups] = torch.sigmoid(theta)[groups] - labels
    nothing: dict[str, torch.Tensor] = {}
    forget = Statistics(2, nothing, {"bias": rows[[0, 5]].sum(0)}, nothing, nothing)
    rest = rows[[1, 2, 3, 4, 6, 7, 8]]
    remaining = Statistics(7, {"bias": (rest**2).sum(0)}, nothing, nothing, nothing)
    layout = Layout((UnitGroup("filters", 0, 3, (Slice("bias", (0,), 1),), "out"),))
    model = nn.Linear(1, 3, dtype=torch.float64).requires_grad_(False)
    model.bias.copy_(theta)
    second_order_direction(forget, remaining, Mask.ones(layout), damping=0.5).apply(model, 0.25)
    p = torch.sigmoid(theta)
    g = torch.stack([p[0] - 1, torch.tensor(0.0), p[2] - 1])
    curvature = (
        torch.stack(
            [(p[0] ** 2 + (1 - p[0]) ** 2), p[1] ** 2 + (1 - p[1]) ** 2, 2 * (1 - p[2]) ** 2 + p[2] ** 2]
        )
        / 7
    )
    assert torch.allclose(model.bias, theta + 0.25 * g / (curvature + 0.5 * curvature.mean()), rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_outside_the_mask_nothing_moves_and_inside_it_does(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    mask = half_mask(case.layout)
    second_order_direction(*of_case(case), mask, damping=0.1).apply(case.model, 1e-4)
    for name, parameter in case.model.named_parameters():
        allowed = torch.zeros_like(parameter, dtype=torch.bool)
        if name in case.layout.parameters:
            group, (part,) = case.layout.parameters[name]
            entries = may_change(mask, group, part)
            shape = [-1 if axis == part.axes[0] else 1 for axis in range(parameter.ndim)]
            allowed = entries.reshape(shape).expand_as(parameter)
        changed = parameter != before[name]
        assert not (changed & ~allowed).any()
        if name in case.layout.parameters:
            assert changed.any()


def test_an_empty_mask_changes_nothing_and_a_mask_of_ones_every_slice(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE, dtype=torch.float32)
    statistics = of_case(case)
    assert second_order_direction(*statistics, Mask.zeros(case.layout), damping=0.1).steps == {}
    everything = second_order_direction(*statistics, Mask.ones(case.layout), damping=0.1)
    assert everything.size == sum(case.model.get_parameter(name).numel() for name in case.layout.parameters)


def test_a_trial_puts_the_very_bits_back(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    direction = second_order_direction(*of_case(case), half_mask(case.layout), damping=0.1)
    with pytest.raises(KeyboardInterrupt), direction.applied(case.model, 1e-3):
        name = next(iter(direction.steps))
        assert not torch.equal(case.model.get_parameter(name), before[name])
        raise KeyboardInterrupt
    assert all(torch.equal(parameter, before[name]) for name, parameter in case.model.named_parameters())


def test_no_curvature_and_no_damping_is_no_step_rather_than_infinity() -> None:
    layout = Layout((UnitGroup("filters", 0, 2, (Slice("bias", (0,), 1),), "out"),))
    nothing: dict[str, torch.Tensor] = {}
    forget = Statistics(1, nothing, {"bias": torch.tensor([1.0, 1.0])}, nothing, nothing)
    remaining = Statistics(1, {"bias": torch.tensor([0.0, 2.0])}, nothing, nothing, nothing)
    direction = second_order_direction(forget, remaining, Mask.ones(layout), damping=0)
    assert direction.steps["bias"].values.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_slices_of_all_units_give_the_step_of_whole_parameters(
    family: str, damping: float, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    forget, remaining = of_case(case)
    ones = Mask.ones(case.layout)
    whole = second_order_direction(forget, remaining, ones, damping=damping)
    part = second_order_direction(sliced(forget, ones), sliced(remaining, ones), ones, damping=damping)
    assert whole.steps.keys() == part.steps.keys() == case.layout.parameters.keys()
    assert all(torch.equal(part.steps[name].values, step.values) for name, step in whole.steps.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_slices_give_the_step_of_whole_parameters_at_the_same_damping(family: str, tmp_path: Path) -> None:
    """λ is relative to another mean there, so it is converted, tensor by tensor."""
    case = make_case(tmp_path, family, count=SIZE)
    forget, remaining = of_case(case)
    mask = half_mask(case.layout)
    part_of_forget, part_of_remaining = sliced(forget, mask), sliced(remaining, mask)
    whole = second_order_direction(forget, remaining, mask, damping=0.1)
    relative = second_order_direction(part_of_forget, part_of_remaining, mask, damping=0.1)
    differ = 0
    for name, step in whole.steps.items():
        mean_of_tensor, mean_of_slices = remaining.fisher[name].mean(), part_of_remaining.fisher[name].mean()
        if mean_of_slices == 0:  # a key's bias
            continue
        converted = float(0.1 * mean_of_tensor / mean_of_slices)
        part = second_order_direction(part_of_forget, part_of_remaining, mask, damping=converted)
        assert torch.allclose(part.steps[name].values, step.values, rtol=1e-10, atol=0)
        assert torch.equal(part.steps[name].indices, step.indices)
        differ += not torch.allclose(relative.steps[name].values, step.values, rtol=1e-3)
    assert differ > len(whole.steps) / 2
    undamped = (
        second_order_direction(*statistics, mask, damping=0)
        for statistics in ((forget, remaining), (part_of_forget, part_of_remaining))
    )
    of_whole, of_part = (direction.steps for direction in undamped)
    assert all(torch.equal(of_part[name].values, step.values) for name, step in of_whole.items())


def with_entries(mask: Mask, case: Case) -> Mask:
    """Every other weight of the selected slices, in a pattern of its own for each."""
    within = {}
    for number, (name, (axis,), indices) in enumerate(mask.slices()):
        shape = case.model.get_parameter(name).index_select(axis, indices).shape
        if len(shape) > 1:
            draw = torch.Generator().manual_seed(number)
            within[name] = torch.rand(shape, generator=draw) < 0.5
    return replace(mask, within=within)


@pytest.mark.parametrize("family", FAMILIES)
def test_outside_the_entries_of_a_mask_the_very_bits_stay(family: str, tmp_path: Path) -> None:
    """Minus zero too; and what may change goes as far as without a choice of entries."""
    case = make_case(tmp_path, family, count=SIZE, dtype=torch.float32)
    half = half_mask(case.layout)
    mask = with_entries(half, case)
    assert mask.within is not None
    with torch.no_grad():
        for name in mask.within:
            case.model.get_parameter(name)[:, ::2] = -0.0
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    statistics = of_case(case)
    whole, chosen = (second_order_direction(*statistics, one, damping=0.1) for one in (half, mask))
    expected = sum(
        int(mask.within[name].sum()) if name in mask.within else step.values.numel()
        for name, step in whole.steps.items()
    )
    assert chosen.size == expected < whole.size
    chosen.apply(case.model, 1e-4)
    after = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    case.model.load_state_dict(before)
    whole.apply(case.model, 1e-4)
    for name, parameter in case.model.named_parameters():
        allowed = torch.zeros_like(parameter, dtype=torch.bool)
        if name in whole.steps:
            step = whole.steps[name]
            flags = mask.within.get(name, torch.ones(step.values.shape, dtype=torch.bool))
            allowed.index_copy_(step.axes[0], step.indices, flags)
        bits, were = after[name].view(torch.int32), before[name].view(torch.int32)
        assert torch.equal(bits[~allowed], were[~allowed]), name
        assert torch.equal(after[name][allowed], parameter[allowed]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_all_entries_are_no_choice_and_none_leave_the_model(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    statistics, ones = of_case(case), Mask.ones(case.layout)
    so = second_order_direction(*statistics, ones, damping=0.1)
    shapes = {name: step.values.shape for name, step in so.steps.items()}
    every, none = (
        second_order_direction(
            *statistics,
            replace(ones, within={name: fill(shape).bool() for name, shape in shapes.items()}),
            damping=0.1,
        )
        for fill in (torch.ones, torch.zeros)
    )
    none.apply(case.model, 1e-2)
    assert none.size == 0
    for name, parameter in case.model.named_parameters():
        assert torch.equal(parameter.view(torch.int32), before[name].view(torch.int32))
    every.apply(case.model, 1e-4)
    found = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    case.model.load_state_dict(before)
    so.apply(case.model, 1e-4)
    assert every.size == so.size
    assert all(torch.equal(parameter, found[name]) for name, parameter in case.model.named_parameters())


def test_a_trial_with_entries_puts_the_very_bits_back(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    mask = with_entries(half_mask(case.layout), case)
    with second_order_direction(*of_case(case), mask, damping=0.1).applied(case.model, 1e-3):
        assert not all(
            torch.equal(parameter, before[name]) for name, parameter in case.model.named_parameters()
        )
    assert all(torch.equal(parameter, before[name]) for name, parameter in case.model.named_parameters())
