"""Training of slices: a masked AdamW, at the cost of the slices alone."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from laws import Case, make_case
from oracles.training import masked_adamw
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.sliced_linear import SlicedLinear
from speu_cli.unlearning.slices import TrainableSlices, pieces_of
from tiny import ALL_FAMILIES, FAMILIES

RATE, DECAY, STEPS = 1e-2, 0.1, 4
MORE = tuple(family for family in ALL_FAMILIES if family not in {*FAMILIES, "vit"})


class OtherLinear(nn.Linear):
    """A layer that is not known to do what a plain linear layer does."""


def third_mask(layout: Layout) -> Mask:
    """Every third unit."""
    return Mask(layout, {group.key: torch.arange(group.count) % 3 == 0 for group in layout})


def half_inside(mask: Mask, model: nn.Module) -> Mask:
    """Half of the entries of every slice of a weight."""
    torch.manual_seed(0)
    within = {
        name: torch.rand_like(piece.take(model.get_parameter(name))) < 1 / 2
        for name, piece in pieces_of(mask, model).items()
        if name.endswith("weight")
    }
    return replace(mask, within=within)


def may_change(mask: Mask, model: nn.Module) -> dict[str, Tensor]:
    flags = {}
    for name, piece in pieces_of(mask, model).items():
        flags[name] = torch.zeros_like(model.get_parameter(name), dtype=torch.bool)
        piece.put(flags[name], torch.ones_like(piece.take(flags[name])))
    return flags


def loss_of(case: Case, model: PreTrainedModel) -> Callable[[], Tensor]:
    inputs, labels = case.encoded.collate(range(6))
    return lambda: case.task.losses(model(**inputs).logits, labels.to(model.device)).mean()


def train_slices(case: Case, mask: Mask, *, steps: int = STEPS) -> torch.optim.Optimizer:
    slices = TrainableSlices(case.model, mask)
    optimizer = torch.optim.AdamW(
        [
            {"params": [slices.of(name)], "weight_decay": 0.0 if "bias" in name else DECAY}
            for name in slices.pieces
        ],
        lr=RATE,
    )
    with slices.attached():
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(case, case.model)().backward()
            optimizer.step()
            slices.write()
    return optimizer


@pytest.mark.parametrize("inside", [False, True], ids=["slices", "entries"])
@pytest.mark.parametrize("plain", [True, False], ids=["linear", "other-layer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_adamw_with_everything_outside_the_mask_held_still(
    family: str, plain: bool, inside: bool, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family)
    if not plain:
        for module in case.model.modules():
            if type(module) is nn.Linear:
                module.__class__ = OtherLinear
    mask, before, expected = third_mask(case.layout), deepcopy(case.model), deepcopy(case.model)
    mask = half_inside(mask, case.model) if inside else mask
    flags = may_change(mask, case.model)
    masked_adamw(
        expected,
        flags,
        loss_of(case, expected),
        steps=STEPS,
        rate=RATE,
        decay=lambda name: 0.0 if "bias" in name else DECAY,
    )
    train_slices(case, mask)
    for name, parameter in case.model.named_parameters():
        torch.testing.assert_close(parameter, expected.get_parameter(name), rtol=1e-12, atol=1e-12)
        outside = ~flags.get(name, torch.zeros_like(parameter, dtype=torch.bool))
        assert torch.equal(parameter[outside], before.get_parameter(name)[outside])
    moved = [
        name for name in flags if not torch.equal(case.model.get_parameter(name), before.get_parameter(name))
    ]
    assert moved == list(flags)


@pytest.mark.parametrize("family", MORE)
def test_in_every_family_nothing_else_moves(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    before, mask = deepcopy(case.model), third_mask(case.layout)
    flags = may_change(mask, case.model)
    train_slices(case, mask, steps=2)
    moved = set()
    for name, parameter in case.model.named_parameters():
        differs = parameter != before.get_parameter(name)
        assert not (differs & ~flags.get(name, torch.zeros_like(differs))).any()
        if differs.any():
            moved.add(name)
    assert moved == flags.keys()


def test_the_optimizer_keeps_moments_of_the_slices_alone(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    mask = third_mask(case.layout)
    state = train_slices(case, mask, steps=1).state
    entries = sum(int(flags.sum()) for flags in may_change(mask, case.model).values())
    for moment in ("exp_avg", "exp_avg_sq"):
        assert sum(of_slice[moment].numel() for of_slice in state.values()) == entries
    assert entries < sum(parameter.numel() for parameter in case.model.parameters()) / 3


def test_gradients_of_several_backward_passes_add_up(tmp_path: Path) -> None:
    for plain in (True, False):
        case = make_case(tmp_path)
        if not plain:
            case.model.bert.encoder.layer[0].intermediate.dense.__class__ = OtherLinear
        name = "bert.encoder.layer.0.intermediate.dense.weight"
        slices = TrainableSlices(case.model, third_mask(case.layout))
        gradients = []
        with slices.attached():
            for times in (1, 2):
                slices.zero_grad()
                for _ in range(times):
                    loss_of(case, case.model)().backward()
                gradients.append(slices.of(name).grad)
                assert case.model.get_parameter(name).grad is None
        one, two = gradients
        assert one is not None and two is not None
        assert one.abs().max() > 0
        torch.testing.assert_close(two, 2 * one)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    forwards = [module.forward for module in case.model.modules()]
    with TrainableSlices(case.model, third_mask(case.layout)).attached():
        assert [module.forward for module in case.model.modules()] != forwards
    assert [module.forward for module in case.model.modules()] == forwards
    assert not any(parameter.requires_grad for parameter in case.model.parameters())


def test_a_weight_that_two_layers_use_gets_the_gradients_of_both(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    first, second = (layer.intermediate.dense for layer in case.model.bert.encoder.layer)
    second.weight = first.weight
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    mask = Mask.zeros(case.layout)
    mask.selected["filters/0"][:5] = True
    slices = TrainableSlices(case.model, mask)
    with slices.attached():
        loss_of(case, case.model)().backward()
    case.model.requires_grad_(True)
    (expected,) = torch.autograd.grad(loss_of(case, case.model)(), [first.weight])
    torch.testing.assert_close(slices.of(name).grad, expected[:5])


def test_small_steps_add_up_in_a_half_precision_model(tmp_path: Path) -> None:
    case = make_case(tmp_path, dtype=torch.bfloat16)
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    weight = case.model.get_parameter(name)
    before = weight.clone()
    slices = TrainableSlices(case.model, third_mask(case.layout))
    assert slices.of(name).dtype == torch.float32
    step = float(before.abs().max()) * 2**-12  # a bfloat16 has 8 digits
    for _ in range(64):
        with torch.no_grad():
            slices.of(name).add_(step)
        slices.write()
    largest = before[0].abs().argmax()
    assert weight[0, largest] != before[0, largest]
    assert torch.equal(weight[1], before[1])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_a_sliced_layer_gives_the_slices_of_the_whole_gradients(kind: str, axis: int) -> None:
    torch.manual_seed(0)
    layer: nn.Module = nn.Linear(5, 7) if kind == "linear" else Conv1D(7, 5)
    layer = layer.double().requires_grad_(False)
    nn.init.normal_(layer.bias)
    inputs = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    chosen, biases = torch.tensor([0, 3, 4]), torch.tensor([1, 6])
    sliced = SlicedLinear(
        layer,
        axis=axis,
        indices=chosen,
        entries=None,
        weight=nn.Parameter(layer.weight.index_select(axis, chosen)),
        bias=nn.Parameter(layer.bias[biases]),
        bias_indices=biases,
    )
    found = torch.autograd.grad(sliced(inputs).sin().sum(), [inputs, sliced.weight, sliced.bias])
    assert torch.equal(sliced(inputs), layer(inputs))
    layer.requires_grad_(True)
    whole = torch.autograd.grad(layer(inputs).sin().sum(), [inputs, layer.weight, layer.bias])
    expected = (whole[0], whole[1].index_select(axis, chosen), whole[2][biases])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
