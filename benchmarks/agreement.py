"""Whether two ways to the same F agree."""

import torch
from subjects import Fisher

TOLERANCE = 1e-4
ROUNDING = 8 * torch.finfo(torch.float32).eps  # of a gradient, relative to the model's largest


def noise_of(fisher: Fisher) -> float:
    """Squares below this are of rounding errors.

    A key's bias has no gradient (softmax does not see what is added to all scores), so that its F is the
    square of rounding errors, and only has to be so with both.

    Args:
        fisher: F by parameter.

    Returns:
        The bound.
    """
    # Of tensors, not of numbers: the largest of some that are not a number is not a number.
    return float(ROUNDING**2 * torch.stack([tensor.max() for tensor in fisher.values()]).max())


def largest_difference(expected: Fisher, found: Fisher, noise: float) -> float:
    """Largest difference over all tensors, each relative to its largest entry.

    Args:
        expected: F by parameter.
        found: Likewise.
        noise: Tensors that are nowhere above it in both are not compared.

    Returns:
        The difference; not a number where either F is none.

    Raises:
        ValueError: The parameters are not the same.
    """
    if expected.keys() != found.keys():
        raise ValueError(f"other parameters: {sorted(expected.keys() ^ found.keys())[:3]}")
    differences = [
        (found[name] - expected[name]).abs().max() / expected[name].max()
        for name in expected
        if not torch.maximum(expected[name].max(), found[name].max()) <= noise
    ]
    return float(torch.stack(differences).max())
