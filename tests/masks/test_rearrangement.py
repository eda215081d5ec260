"""Rearrangement against brute force and against the search over stored gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import masks as oracle
from speu_cli.errors import InputError
from speu_cli.masks.mask_fisher import mask_fisher
from speu_cli.masks.rearrangement import COLUMNS, Rearranged, rearrange
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask

ROUNDING = 1e-9


def one_layer(units: int) -> Layout:
    return Layout((UnitGroup("heads", 0, units, (Slice("w", (1,), 1),), "w"),))


def problem(units: int, seed: int, *, examples: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """u ``[units]`` and per-example mask gradients ``[examples, units]``, correlated between units."""
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(units, units)) * 0.7 + np.eye(units)
    return draw.normal(size=units) * 3, draw.normal(size=(examples, units)) @ mixing


def solve(
    u: np.ndarray, B: np.ndarray, frozen: np.ndarray, c: float, rounds: int | None = None
) -> Rearranged:
    return solve_with(Statistics(1, {}, {}, {}, {"heads/0": torch.from_numpy(B)}), u, frozen, c, rounds)


def solve_with(
    curvature: Statistics, u: np.ndarray, frozen: np.ndarray, c: float, rounds: int | None = None
) -> Rearranged:
    mask = Mask(one_layer(len(u)), {"heads/0": torch.from_numpy(~frozen)})
    return rearrange(mask, {"heads/0": torch.from_numpy(u)}, curvature, c, rounds=rounds)


def sampled(diagonal: np.ndarray, rows: np.ndarray, count: int) -> Statistics:
    """Statistics with a sample in place of B."""
    return Statistics(
        count,
        {},
        {},
        {},
        {"heads/0": torch.from_numpy(diagonal)},
        {"heads/0": torch.from_numpy(rows)},
        torch.arange(len(rows)),
    )


def start(u: np.ndarray, B: np.ndarray, selected: int, c: float) -> np.ndarray:
    """Freeze all but the most important, as the selection does."""
    frozen = np.ones(len(u), dtype=bool)
    frozen[np.argsort(-(u + 0.5 * c * B.diagonal()))[:selected]] = False
    return frozen


@given(
    units=st.integers(2, 14),
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 0.95),
    c=st.sampled_from([1.0, 0.05]),
)
@settings(max_examples=150, deadline=None)
def test_never_raises_the_objective_and_tells_it_truly(units: int, seed: int, share: float, c: float) -> None:
    u, rows = problem(units, seed)
    B, selected = rows.T @ rows, max(1, int(share * units))
    frozen = start(u, B, selected, c)
    found = solve(u, B, frozen, c)
    after = np.flatnonzero(~found.mask.selected["heads/0"].numpy())
    size = np.abs(u).sum() + c * np.abs(B).sum()
    assert found.before == pytest.approx(
        oracle.objective(u, B, np.flatnonzero(frozen).tolist(), c), abs=ROUNDING * size
    )
    assert found.after == pytest.approx(oracle.objective(u, B, after.tolist(), c), abs=ROUNDING * size)
    assert found.after <= found.before
    assert len(after) == frozen.sum()
    assert found.after >= oracle.best_frozen(u, B, len(after), c) - ROUNDING * size


@given(units=st.integers(3, 12), seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9))
@settings(max_examples=150, deadline=None)
def test_no_single_swap_is_left_that_helps(units: int, seed: int, share: float) -> None:
    u, rows = problem(units, seed)
    B = rows.T @ rows
    found = solve(u, B, start(u, B, max(1, int(share * units)), 1.0), 1.0)
    frozen = set(np.flatnonzero(~found.mask.selected["heads/0"].numpy()).tolist())
    size = np.abs(u).sum() + np.abs(B).sum()
    for i in set(range(units)) - frozen:
        for k in frozen:
            swapped = oracle.objective(u, B, sorted(frozen - {k} | {i}), 1.0)
            assert swapped >= found.after - ROUNDING * size


@given(units=st.integers(3, 14), seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9))
@settings(max_examples=100, deadline=None)
def test_one_round_is_the_papers_search_over_stored_gradients_and_more_rounds_are_no_worse(
    units: int, seed: int, share: float
) -> None:
    u, rows = problem(units, seed)
    B = rows.T @ rows
    frozen = start(u, B, max(1, int(share * units)), 1.0)
    stored = oracle.one_round_over_gradients(u, rows, np.flatnonzero(frozen).tolist(), 1.0)
    of_stored = oracle.objective(u, B, stored, 1.0)
    size = np.abs(u).sum() + np.abs(B).sum()
    assert solve(u, B, frozen, 1.0, rounds=1).after == pytest.approx(of_stored, abs=ROUNDING * size)
    assert solve(u, B, frozen, 1.0).after <= of_stored + ROUNDING * size


def test_reaches_the_optimum_of_most_small_problems() -> None:
    """Local search is no proof of the optimum; on small random problems it mostly finds it."""
    found = 0
    for seed in range(100):
        u, rows = problem(10, seed)
        B = rows.T @ rows
        result = solve(u, B, start(u, B, 3, 1.0), 1.0)
        found += result.after <= oracle.best_frozen(u, B, 7, 1.0) + ROUNDING * np.abs(B).sum()
    assert found >= 80


def test_zero_rounds_change_nothing() -> None:
    u, rows = problem(8, 0)
    B = rows.T @ rows
    frozen = start(u, B, 3, 1.0)
    found = solve(u, B, frozen, 1.0, rounds=0)
    assert np.array_equal(~found.mask.selected["heads/0"].numpy(), frozen)
    assert (found.before, found.swaps) == (found.after, 0)


@pytest.mark.parametrize("selected", [0, 8])
def test_all_or_nothing_selected_has_nothing_to_swap(selected: int) -> None:
    u, rows = problem(8, 0)
    frozen = np.ones(8, dtype=bool)
    frozen[:selected] = False
    assert solve(u, rows.T @ rows, frozen, 1.0).swaps == 0


def test_equal_units_do_not_swap_for_ever() -> None:
    found = solve(np.full(6, 0.1), np.full((6, 6), 0.3), np.arange(6) < 3, 1.0)
    assert found.swaps == 0


@given(
    units=st.integers(2, 90),
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 0.95),
    rounds=st.sampled_from([None, 1]),
    kept=st.integers(1, 20),
)
@settings(max_examples=100, deadline=None)
def test_a_sample_gives_the_swaps_of_its_matrix(
    units: int, seed: int, share: float, rounds: int | None, kept: int
) -> None:
    """The diagonal of all 20 examples, the rest of some of them: against the matrix written out."""
    u, rows = problem(units, seed)
    diagonal, count = (rows**2).sum(0), 1000
    B = oracle.estimated_mask_fisher(diagonal, rows[:kept], count)
    frozen = start(u, B, max(1, int(share * units)), 1.0)
    found = solve_with(sampled(diagonal, rows[:kept], count), u, frozen, 1.0, rounds)
    expected = solve(u, B, frozen, 1.0, rounds)
    size = np.abs(u).sum() + np.abs(B).sum()
    assert torch.equal(found.mask.selected["heads/0"], expected.mask.selected["heads/0"])
    assert found.swaps == expected.swaps
    assert found.before == pytest.approx(expected.before, abs=ROUNDING * size)
    assert found.after == pytest.approx(expected.after, abs=ROUNDING * size)
    after = np.flatnonzero(~found.mask.selected["heads/0"].numpy()).tolist()
    assert found.after == pytest.approx(oracle.objective(u, B, after, 1.0), abs=ROUNDING * size)


@pytest.mark.parametrize("kept", [1, 5, 20])
def test_a_sampled_b_is_what_its_matrix_is(kept: int) -> None:
    _, rows = problem(12, 0)
    diagonal = (rows**2).sum(0) + 1.0
    B = oracle.estimated_mask_fisher(diagonal, rows[:kept], 300)
    found = mask_fisher(sampled(diagonal, rows[:kept], 300), "heads/0")
    vector = np.random.default_rng(1).normal(size=12)
    assert np.allclose(found.times(vector), B @ vector, rtol=1e-12)
    assert np.array_equal(found.diagonal, diagonal)
    assert np.allclose(found.columns(np.array([7, 0, 11])), B[:, [7, 0, 11]].T, rtol=1e-12)


def test_a_sample_of_all_examples_is_b_itself() -> None:
    u, rows = problem(3 * COLUMNS, 0)
    B = rows.T @ rows
    frozen = start(u, B, 2 * COLUMNS, 1.0)
    found = solve_with(sampled(B.diagonal().copy(), rows, len(rows)), u, frozen, 1.0)
    expected = solve(u, B, frozen, 1.0)
    assert torch.equal(found.mask.selected["heads/0"], expected.mask.selected["heads/0"])
    assert found.swaps == expected.swaps > 0


def test_without_the_forgotten_examples_the_rest_of_the_sample_stands_for_the_rest() -> None:
    """B_r of a request: the exact diagonal by subtraction, n_r and s_r in the scale."""
    u, rows = problem(10, 0)

    def of(chosen: list[int], keys: list[int]) -> Statistics:
        """Sums over some of the examples, those with a key in ``keys`` sampled."""
        kept = [x for x in chosen if x in keys]
        diagonal, of_sample = torch.from_numpy((rows[chosen] ** 2).sum(0)), torch.from_numpy(rows[kept])
        return Statistics(
            len(chosen), {}, {}, {}, {"heads/0": diagonal}, {"heads/0": of_sample}, torch.tensor(kept)
        )

    sample, forgotten = [1, 4, 6, 13, 17], [0, 4, 5, 17]
    remaining = [x for x in range(len(rows)) if x not in forgotten]
    left = of(list(range(len(rows))), sample) - of(forgotten, sample)
    scaled = left.scaled_to(400)
    B = oracle.estimated_mask_fisher(
        (rows[remaining] ** 2).sum(0) * 400 / len(remaining), rows[[1, 6, 13]], 400
    )
    assert np.allclose(mask_fisher(scaled, "heads/0").columns(np.arange(10)), B, rtol=1e-9)
    frozen = start(u, B, 4, 1.0)
    found, expected = solve_with(scaled, u, frozen, 1.0), solve(u, B, frozen, 1.0)
    assert torch.equal(found.mask.selected["heads/0"], expected.mask.selected["heads/0"])


def test_a_sample_of_which_nothing_is_left_is_refused() -> None:
    curvature = sampled(np.ones(4), np.zeros((0, 4)), 30)
    with pytest.raises(InputError, match=r"no example is left in the sample .* heads/0"):
        solve_with(curvature, np.ones(4), np.arange(4) < 2, 1.0)
