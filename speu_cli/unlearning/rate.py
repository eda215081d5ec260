"""Find the unlearning rate η at which the forget set looks unseen.

Along the fixed direction the forget set's mean loss rises smoothly with η, but where it passes the
target shifts by orders of magnitude with damping, sparsity and data, so no fixed rate can be a default.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scipy.optimize import brentq

from speu_cli.errors import UnsafeStepError

GROWTH = 4.0
MAX_EXPANSIONS = 20
LOG_RATE_TOLERANCE = 2e-3
LOG_BOUND = 50.0
# A loss this close below the target counts as having reached it.
ACCEPTED_SHORTFALL = 0.1


@dataclass(frozen=True)
class Rate:
    """A rate and what it does.

    Attributes:
        value: η.
        loss: Mean loss of the forget set at η.
        trials: Every (rate, loss) tried, in order.
    """

    value: float
    loss: float
    trials: tuple[tuple[float, float], ...]


@dataclass
class _Trials:
    """Losses at the rates tried so far; a non-finite one counts as infinite."""

    loss_at: Callable[[float], float]
    seen: dict[float, float] = field(default_factory=dict)

    def __call__(self, rate: float) -> float:
        if rate not in self.seen:
            loss = self.loss_at(rate)
            self.seen[rate] = loss if math.isfinite(loss) else math.inf
        return self.seen[rate]


GENTLER = "use a smaller --rate, or --rate auto"


def check_step(loss: float, target: float | None, max_overshoot: float, *, gentler: str = GENTLER) -> None:
    """Refuse a step that breaks the model.

    Args:
        loss: Mean loss of the forget set after the step.
        target: Mean loss of unseen examples, where it is known.
        max_overshoot: Most that the loss may be, as a multiple of the target.
        gentler: What to do for a smaller step.

    Raises:
        UnsafeStepError: The loss is not finite, or too far past the target.
    """
    if not math.isfinite(loss):
        raise UnsafeStepError("the step makes the forget loss non-finite", hint=gentler)
    if target is not None and loss > max_overshoot * target:
        raise UnsafeStepError(
            f"the step takes the forget loss to {loss:.4g}, more than {max_overshoot:g} times "
            f"the target {target:.4g}",
            hint=f"{gentler}; --max-overshoot moves the limit",
        )


def find_rate(
    loss_at: Callable[[float], float], target: float, *, start: float, max_overshoot: float
) -> Rate:
    """Search η by bracketing, then by Brent's method on log η.

    Args:
        loss_at: Mean loss of the forget set at a rate; 0 is the original model.
        target: Loss to reach.
        start: First rate to try, > 0.
        max_overshoot: As for :func:`check_step`.

    Returns:
        The rate; 0 when the forget set looks unseen already.

    Raises:
        UnsafeStepError: No rate brings the loss to the target, or only past it by too much.
    """
    trials = _Trials(loss_at)
    if trials(0.0) >= target:
        return Rate(0.0, trials(0.0), tuple(trials.seen.items()))
    low, high = _bracket(trials, target, start)
    distance = partial(_log_ratio, target=target)
    brentq(lambda x: distance(trials(math.exp(x))), math.log(low), math.log(high), xtol=LOG_RATE_TOLERANCE)
    value, loss = min(trials.seen.items(), key=lambda trial: abs(distance(trial[1])))
    if loss < target / (1 + ACCEPTED_SHORTFALL):
        raise UnsafeStepError(
            f"the forget loss jumps past the target {target:.4g}: closest was {loss:.4g} at rate {value:.3g}",
            hint="raise --damping, or take that rate with --rate",
        )
    check_step(loss, target, max_overshoot)
    return Rate(value, loss, tuple(trials.seen.items()))


def _bracket(trials: _Trials, target: float, start: float) -> tuple[float, float]:
    """Widen from the start until the target is between two rates.

    Returns:
        A rate whose loss is below the target, and one whose loss is at or past it.

    Raises:
        UnsafeStepError: The loss stays on one side of the target.
    """
    grow = trials(start) < target
    low = high = start
    for _ in range(MAX_EXPANSIONS):
        if trials(low) < target <= trials(high):
            return low, high
        low, high = (high, high * GROWTH) if grow else (low / GROWTH, low)
    raise UnsafeStepError(
        f"the forget loss does not reach the target {target:.4g}: it was {trials(0.0):.4g} before any step, "
        f"and between {min(trials.seen.values()):.4g} and {max(trials.seen.values()):.4g} at "
        f"{len(trials.seen)} rates up to {max(trials.seen):.3g}",
        hint="lower --target-loss, raise --damping, or select more units with a lower --sparsity",
    )


def _log_ratio(loss: float, target: float) -> float:
    """log(loss / target), within bounds so that the search can go on past an infinite loss."""
    return max(-LOG_BOUND, min(LOG_BOUND, math.log(max(loss, math.ulp(0.0)) / target)))
