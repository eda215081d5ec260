"""Masks by the definitions: sums over pairs, all subsets, and the search over stored gradients."""

from itertools import combinations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def objective(u: Array, B: Array, frozen: list[int], c: float) -> float:
    """f(Z) of Eq. 9, term by term."""
    linear = sum(u[i] for i in frozen)
    quadratic = sum(B[i, k] for i in frozen for k in frozen)
    return float(linear + 0.5 * c * quadratic)


def estimated_mask_fisher(diagonal: Array, rows: Array, count: int) -> Array:
    """B̂ entry by entry: sums over the sampled examples, times n/s, and the exact diagonal."""
    units = len(diagonal)
    estimate = np.zeros((units, units))
    for i in range(units):
        for k in range(units):
            of_sample = sum(row[i] * row[k] for row in rows)
            estimate[i, k] = diagonal[i] if i == k else count / len(rows) * of_sample
    return estimate


def best_frozen(u: Array, B: Array, count: int, c: float) -> float:
    """The lowest f(Z) of all Z of a size."""
    return min(objective(u, B, list(frozen), c) for frozen in combinations(range(len(u)), count))


def one_round_over_gradients(u: Array, rows: Array, frozen: list[int], c: float) -> list[int]:
    """The paper's one-round greedy search over stored per-example mask gradients ``[examples, units]``.

    Selected units in ascending importance; each is frozen, and every release is tried, with f evaluated from
    the gradients of each example: Σ_x (Σ_{i∈Z} ∂ℓ_x/∂m_i)².
    """

    def f(z: list[int]) -> float:
        return float(u[z].sum() + 0.5 * c * (rows[:, z].sum(1) ** 2).sum())

    current = sorted(frozen)
    importance = u + 0.5 * c * (rows**2).sum(0)
    for i in sorted(set(range(len(u))) - set(frozen), key=lambda unit: importance[unit]):
        larger = [*current, i]
        trials = [[unit for unit in larger if unit != k] for k in larger]
        best = min(trials, key=f)
        if f(best) < f(current):
            current = best
    return current
