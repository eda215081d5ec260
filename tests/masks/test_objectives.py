"""Masks by the forget loss (Eq. 18 and Eq. 19) and by the gradient's norm."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import Case, make_case
from oracles import masks as oracle
from oracles import statistics as gradients_oracle
from speu_cli.errors import InputError
from speu_cli.masks.importance import curvature_scale, forget_loss_importance, gradient_norms
from speu_cli.masks.localization import MaskSettings, Objective, localize
from speu_cli.masks.rearrangement import Rearranged, rearrange_selected
from speu_cli.masks.selection import select
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import KINDS, Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask
from tiny import FAMILIES

FORGET, SIZE, ROUNDING = 4, 17, 1e-9


def of_case(case: Case) -> tuple[Statistics, Statistics]:
    """S(D_f) and S(D_r)."""
    of_forget, of_remaining = (
        collect(case.model, case.layout, case.task, case.encoded.select(part), batch_tokens=100).statistics
        for part in (range(FORGET), range(FORGET, SIZE))
    )
    return of_forget, of_remaining


def problem(units: int, seed: int, *, examples: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """u ``[units]`` and B ``[units, units]`` of examples whose mask gradients are correlated."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(examples, units)) @ (draw.normal(size=(units, units)) * 0.7 + np.eye(units))
    return draw.normal(size=units) * 3, rows.T @ rows


def start(u: np.ndarray, B: np.ndarray, count: int, c: float) -> np.ndarray:
    """Select the most important, as the selection does."""
    selected = np.zeros(len(u), dtype=bool)
    selected[np.argsort(-(u + 0.5 * c * B.diagonal()))[:count]] = True
    return selected


def solve(
    u: np.ndarray, B: np.ndarray, selected: np.ndarray, c: float, rounds: int | None = None
) -> Rearranged:
    layout = Layout((UnitGroup("heads", 0, len(u), (Slice("w", (1,), 1),), "w"),))
    mask = Mask(layout, {"heads/0": torch.from_numpy(selected)})
    statistics = Statistics(1, {}, {}, {}, {"heads/0": torch.from_numpy(B)})
    return rearrange_selected(mask, {"heads/0": torch.from_numpy(u)}, statistics, c, rounds=rounds)


def chosen(found: Rearranged) -> list[int]:
    return np.flatnonzero(found.mask.selected["heads/0"].numpy()).tolist()


@pytest.mark.parametrize("curvature", ["total", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_forget_loss_importance_is_eq_18(family: str, curvature: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    rows = [
        m for _, m in gradients_oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    ]
    c = curvature_scale(curvature, FORGET)
    found = forget_loss_importance(*of_case(case), c)
    for group in case.layout:
        of_group = [row[group.key].numpy() for row in rows]
        expected = oracle.forget_loss_importance(
            of_group[FORGET:], of_group[:FORGET], {"total": 1.0, "mean": 1 / FORGET}[curvature]
        )
        assert np.allclose(found[group.key].numpy(), expected, rtol=1e-10, atol=1e-10 * abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_are_those_of_the_summed_gradients_entries(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=FORGET)
    forget = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=100).statistics
    found = gradient_norms(forget, case.layout)
    gradients = [
        of_example
        for of_example, _ in gradients_oracle.example_gradients(
            case.model, case.layout, case.task, case.encoded
        )
    ]
    summed = {name: sum(one[name].numpy() for one in gradients) for name in gradients[0]}
    for group in case.layout:
        for unit in range(group.count):
            expected = oracle.gradient_norm(summed, group.slices, unit)
            assert float(found[group.key][unit]) == pytest.approx(expected, rel=1e-10)


@given(
    units=st.integers(2, 12),
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 0.95),
    c=st.sampled_from([1.0, 0.05]),
    rounds=st.sampled_from([None, 1]),
)
@settings(max_examples=100, deadline=None)
def test_rearrangement_never_lowers_f_of_the_selected_and_tells_it_truly(
    units: int, seed: int, share: float, c: float, rounds: int | None
) -> None:
    u, B = problem(units, seed)
    selected = start(u, B, max(1, int(share * units)), c)
    found = solve(u, B, selected, c, rounds)
    size = np.abs(u).sum() + c * np.abs(B).sum()
    before = oracle.objective(u, B, np.flatnonzero(selected).tolist(), c)
    assert found.before == pytest.approx(before, abs=ROUNDING * size)
    assert found.after == pytest.approx(oracle.objective(u, B, chosen(found), c), abs=ROUNDING * size)
    assert found.after >= found.before
    assert len(chosen(found)) == selected.sum()
    assert found.after <= oracle.best_selected(u, B, int(selected.sum()), c) + ROUNDING * size


@given(units=st.integers(3, 12), seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9))
@settings(max_examples=100, deadline=None)
def test_no_single_swap_is_left_that_raises_f(units: int, seed: int, share: float) -> None:
    u, B = problem(units, seed)
    found = solve(u, B, start(u, B, max(1, int(share * units)), 1.0), 1.0)
    selected, size = set(chosen(found)), np.abs(u).sum() + np.abs(B).sum()
    for i in selected:
        for k in set(range(units)) - selected:
            swapped = oracle.objective(u, B, sorted(selected - {i} | {k}), 1.0)
            assert swapped <= found.after + ROUNDING * size


def test_it_reaches_the_optimum_of_most_small_problems() -> None:
    found = 0
    for seed in range(50):
        u, B = problem(10, seed)
        best = oracle.best_selected(u, B, 3, 1.0)
        found += solve(u, B, start(u, B, 3, 1.0), 1.0).after >= best - ROUNDING * np.abs(B).sum()
    assert found >= 35


def test_zero_rounds_leave_the_selection() -> None:
    u, B = problem(8, 0)
    selected = start(u, B, 3, 1.0)
    found = solve(u, B, selected, 1.0, rounds=0)
    assert (chosen(found), found.before, found.swaps) == (
        np.flatnonzero(selected).tolist(),
        found.after,
        0,
    )


@pytest.mark.parametrize("curvature", ["total", "mean"])
def test_mlf_selects_by_eq_18_and_rearranges_by_eq_19(curvature: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE)
    forget, remaining = of_case(case)
    c = {"total": 1.0, "mean": 1 / FORGET}[curvature]
    asked = MaskSettings(sparsity=0.75, curvature=curvature, objective="mlf")
    found = localize(forget, remaining, case.layout, asked)
    scores = forget_loss_importance(forget, remaining, c)
    first = select(scores, case.layout, KINDS, 0.75)
    after = before = 0.0
    for key in scores:
        u, B = remaining.mask_gradient[key].numpy(), forget.mask_fisher[key].numpy()
        before += oracle.objective(u, B, first.selected[key].nonzero()[:, 0].tolist(), c)
        of_found = found.rearranged.mask.selected[key].nonzero()[:, 0].tolist()
        after += oracle.objective(u, B, of_found, c)
        assert len(of_found) == first.selected[key].sum()
    assert found.rearranged.before == pytest.approx(before, rel=1e-9)
    assert found.rearranged.after == pytest.approx(after, rel=1e-9)
    assert found.rearranged.after >= found.rearranged.before
    assert found.objective() is not None


def test_norm_takes_the_largest_and_has_no_f(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE)
    forget, remaining = of_case(case)
    found = localize(forget, remaining, case.layout, MaskSettings(sparsity=0.75, objective="norm"))
    assert found.objective() is None
    assert found.rearranged.mask.counts() == {"heads": (2, 8), "filters": (12, 48)}
    for kind in KINDS:
        groups = case.layout.of_kind(kind)
        scores = torch.cat([found.scores[group.key] for group in groups])
        flags = torch.cat([found.rearranged.mask.selected[group.key] for group in groups])
        assert scores[flags].min() > scores[~flags].max()


def test_the_objectives_select_different_units(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE)
    statistics = of_case(case)
    objectives: tuple[Objective, ...] = ("mlr", "mlf", "norm")
    masks = [
        localize(*statistics, case.layout, MaskSettings(sparsity=0.75, objective=one)).rearranged.mask
        for one in objectives
    ]
    selected = [torch.cat(list(mask.selected.values())) for mask in masks]
    assert all(not torch.equal(selected[i], selected[k]) for i, k in ((0, 1), (0, 2), (1, 2)))


def test_random_units_are_others_than_those_of_any_choice_and_always_the_same(tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE)
    forget, remaining = of_case(case)

    def chosen_by(objective: Objective) -> dict[str, list[int]]:
        settings = MaskSettings(sparsity=0.75, objective=objective)
        found = localize(forget, remaining, case.layout, settings)
        return {key: flags.nonzero()[:, 0].tolist() for key, flags in found.rearranged.mask.selected.items()}

    control = chosen_by("random")
    assert control == chosen_by("random")
    others: tuple[Objective, ...] = ("mlr", "mlf", "norm")
    for other in others:
        assert control != (choice := chosen_by(other))
        for kind in KINDS:
            of_kind = [key for key in control if key.startswith(kind)]
            assert sum(len(control[key]) for key in of_kind) == sum(len(choice[key]) for key in of_kind)


@pytest.mark.parametrize("objective", ["mlf", "norm"])
def test_without_an_example_there_is_nothing_to_choose_by(objective: Objective, tmp_path: Path) -> None:
    case = make_case(tmp_path, count=SIZE)
    forget, remaining = of_case(case)
    nothing = forget - forget
    with pytest.raises(InputError, match="none of them counts"):
        localize(nothing, remaining, case.layout, MaskSettings(objective=objective))
