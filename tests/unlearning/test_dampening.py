"""Selective synaptic dampening against its formula, and the laws of masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laws import Case, make_case
from oracles import masks as oracle
from speu_cli.errors import InputError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.dampening import DampeningSettings, dampening
from tiny import FAMILIES

FORGET, SIZE = range(4), 17
ASKED = DampeningSettings(alpha=1.5, strength=0.5)


def of_case(case: Case, scope: str = "structures") -> tuple[Statistics, Statistics]:
    """S(D_f) and S(D)."""
    wanted = Wanted(wanted_parameters(case.model, case.layout, scope), mask_statistics=False)
    of_forget, full = (
        collect(
            case.model,
            case.layout,
            case.task,
            case.encoded.select(part),
            batch_tokens=100,
            wanted=wanted,
        ).statistics
        for part in (FORGET, range(SIZE))
    )
    return of_forget, full


def half_mask(layout: Layout) -> Mask:
    return Mask(layout, {group.key: torch.arange(group.count) % 2 == 0 for group in layout})


def expected_of(case: Case, name: str, forget: Statistics, full: Statistics) -> torch.Tensor:
    """The whole parameter after dampening."""
    return torch.from_numpy(
        oracle.dampened(
            case.model.get_parameter(name).detach().numpy(),
            (forget.fisher[name] / len(FORGET)).numpy(),
            (full.fisher[name] / SIZE).numpy(),
            ASKED.alpha,
            ASKED.strength,
        )
    )


@given(
    seed=st.integers(0, 10_000),
    alpha=st.sampled_from([0.0, 0.5, 1.0, 10.0]),
    strength=st.sampled_from([0.1, 1.0, 3.0, 30.0]),
    counts=st.tuples(st.integers(1, 5), st.integers(6, 50)),
)
@settings(max_examples=80, deadline=None)
def test_is_the_published_formula(seed: int, alpha: float, strength: float, counts: tuple[int, int]) -> None:
    """Entries without any curvature, or with none beside that of the forget set, are among them."""
    draw = np.random.default_rng(seed)
    forget, rest = (draw.gamma(0.3, size=(4, 5)) * draw.integers(0, 2, size=(4, 5)) for _ in range(2))
    full = forget + rest
    model = nn.ParameterDict({"w": nn.Parameter(torch.from_numpy(draw.normal(size=(4, 5))))})
    theta = model["w"].detach().numpy().copy()
    nothing: dict[str, torch.Tensor] = {}
    found = dampening(
        Statistics(counts[0], {"w": torch.from_numpy(forget)}, nothing, nothing, nothing),
        Statistics(counts[1], {"w": torch.from_numpy(full)}, nothing, nothing, nothing),
        None,
        DampeningSettings(alpha, strength),
    )
    found.apply(model)
    expected = oracle.dampened(theta, forget / counts[0], full / counts[1], alpha, strength)
    assert np.allclose(model["w"].detach().numpy(), expected, rtol=1e-10, atol=0)
    assert found.size == int((expected != theta).sum())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scope", ["structures", "all"])
def test_all_that_there_are_statistics_of_is_dampened(family: str, scope: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    forget, full = of_case(case, scope)
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    expected = {name: expected_of(case, name, forget, full) for name in full.fisher}
    found = dampening(forget, full, None, ASKED)
    found.apply(case.model)
    assert (expected.keys() == before.keys()) == (scope == "all")
    changed = 0
    for name, parameter in case.model.named_parameters():
        after = expected.get(name, before[name])
        assert torch.allclose(parameter, after, rtol=1e-10, atol=0), name
        changed += int((parameter != before[name]).sum())
    assert 0 < changed <= found.size


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("of_slices", [False, True])
def test_inside_a_mask_only_its_entries_are_dampened(family: str, of_slices: bool, tmp_path: Path) -> None:
    """From sums of whole parameters or of the slices alone; outside, bit for bit."""
    case = make_case(tmp_path, family, count=SIZE)
    forget, full = of_case(case)
    expected = {name: expected_of(case, name, forget, full) for name in full.fisher}
    half = half_mask(case.layout)
    within = {
        name: torch.rand(len(indices), case.model.get_parameter(name).shape[1]) < 0.5
        for name, (axis,), indices in half.slices()
        if name.endswith(".weight") and axis == 0
    }
    mask = replace(half, within=within)
    if of_slices:
        forget, full = (
            Statistics(
                sums.count,
                {
                    name: sums.fisher[name].index_select(axis, indices)
                    for name, (axis,), indices in half.slices()
                },
                {},
                {},
                {},
            )
            for sums in (forget, full)
        )
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    dampening(forget, full, mask, ASKED).apply(case.model)
    slices = {name: (axis, indices) for name, (axis,), indices in half.slices()}
    moved = 0
    for name, parameter in case.model.named_parameters():
        allowed = torch.zeros_like(parameter, dtype=torch.bool)
        if name in slices:
            axis, indices = slices[name]
            flags = within.get(name, torch.ones_like(parameter.index_select(axis, indices)).bool())
            allowed.index_copy_(axis, indices, flags)
            assert torch.allclose(parameter[allowed], expected[name][allowed], rtol=1e-10, atol=0), name
        assert torch.equal(parameter[~allowed], before[name][~allowed])
        moved += int((parameter != before[name]).sum())
    assert moved > 0


def test_an_empty_mask_and_an_unreached_alpha_leave_the_very_bits(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE, dtype=torch.float32)
    with torch.no_grad():
        case.model.get_parameter("bert.encoder.layer.0.output.dense.weight")[0, :5] = -0.0
    before = {name: tensor.clone() for name, tensor in case.model.named_parameters()}
    forget, full = of_case(case)
    for mask, alpha in ((Mask.zeros(case.layout), 0.0), (None, 1e6)):
        found = dampening(forget, full, mask, DampeningSettings(alpha))
        found.apply(case.model)
        assert found.size == 0
        for name, parameter in case.model.named_parameters():
            assert torch.equal(parameter.view(torch.int32), before[name].view(torch.int32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": -1.0},
        {"alpha": float("nan")},
        {"strength": 0.0},
        {"strength": float("inf")},
        {"target_loss": 0.0},
        {"max_overshoot": 0.5},
        {"forget_examples": "some"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        DampeningSettings(**wrong)


def test_the_record_has_the_names_of_the_publication() -> None:
    assert DampeningSettings(7.0, 0.3).record() == {
        "alpha": 7.0,
        "lambda": 0.3,
        "target_loss": None,
        "max_overshoot": 2.0,
        "forget_examples": "all",
    }
