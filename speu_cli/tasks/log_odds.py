"""The log-odds of an example, from its loss."""

from torch import Tensor

# Below it a loss is what rounding left over: its log-odds stay where they are.
LEAST_LOSS = 1e-6


def log_odds(losses: Tensor) -> Tensor:
    """Log-odds z = log(p / (1 − p)) of p = exp(−ℓ), so that ℓ = log(1 + exp(−z)).

    Args:
        losses: ℓ, ``[n]``, at best in float64: of a small loss float32 knows few digits.

    Returns:
        ``[n]``.
    """
    known = losses.clamp(min=LEAST_LOSS)
    return -(known + (-(-known).expm1()).log())
