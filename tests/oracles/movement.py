"""How far weights moved, one number at a time."""

import math


def relative_distance(after: list[float], before: list[float]) -> float:
    """‖θ − θ_before‖₂ / ‖θ_before‖₂."""
    moved = math.fsum((a - b) ** 2 for a, b in zip(after, before, strict=True))
    return math.sqrt(moved) / math.sqrt(math.fsum(b * b for b in before))
