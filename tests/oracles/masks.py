"""Masks and dampening by the definitions: sums entry by entry, all subsets, and plain searches."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations

import numpy as np
import numpy.typing as npt

from speu_cli.structures.layout import Slice

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


def best_selected(u: Array, B: Array, count: int, c: float) -> float:
    """The highest f of all sets of a size: what Eq. 19 looks for."""
    return max(objective(u, B, list(chosen), c) for chosen in combinations(range(len(u)), count))


def forget_loss_importance(of_remaining: list[Array], of_forget: list[Array], c: float) -> Array:
    """s_i of Eq. 18 from the mask gradients of each example: Σ_r ∂ℓ/∂m_i + ½·c·Σ_f (∂ℓ/∂m_i)²."""
    scores = np.zeros(len(of_forget[0]))
    for i in range(len(scores)):
        scores[i] = sum(row[i] for row in of_remaining) + 0.5 * c * sum(row[i] ** 2 for row in of_forget)
    return scores


def gradient_norm(gradient: dict[str, Array], slices: Iterable[Slice], unit: int) -> float:
    """‖g‖₂ over the entries that a unit owns, entry by entry."""
    total = 0.0
    for part in slices:
        first = unit // part.shared_by * part.width
        for entry, value in np.ndenumerate(gradient[part.parameter]):
            if first <= entry[part.axes[0]] < first + part.width:
                total += value**2
    return float(np.sqrt(total))


def input_norms(tokens: list[Array]) -> Array:
    """‖X_j‖₂ over tokens, each ``[inputs]``, one by one."""
    total = np.zeros(len(tokens[0]))
    for token in tokens:
        for j, value in enumerate(token):
            total[j] += value**2
    return np.sqrt(total)


def wanda(weight: Array, norms: Array, sparsity: float) -> npt.NDArray[np.bool_]:
    """Which entries of W ``[out, in]`` are kept: of each row as many as 1 − S allows, but one at least."""
    kept = np.zeros(weight.shape, dtype=bool)
    allowed = 0
    while Fraction(allowed + 1, weight.shape[1]) <= 1 - Fraction(str(sparsity)):
        allowed += 1
    for i, row in enumerate(weight):
        by_score = sorted(range(len(row)), key=lambda j: (-abs(row[j]) * norms[j], j))
        for j in by_score[: max(1, allowed)]:
            kept[i, j] = True
    return kept


def dampened(theta: Array, forget: Array, full: Array, alpha: float, strength: float) -> Array:
    """θ after selective synaptic dampening, entry by entry, from mean squares of gradients."""
    after = theta.copy()
    for entry in np.ndindex(theta.shape):
        if forget[entry] > alpha * full[entry]:
            after[entry] = theta[entry] * min(strength * full[entry] / forget[entry], 1.0)
    return after
