"""What sums must be like, whatever model they are of."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from speu_cli.errors import ArtifactError
from speu_cli.statistics.directions import Directions
from speu_cli.statistics.sums import Statistics


def require_one_each(found: Mapping[str, Tensor | None], examples: Tensor, name: str, path: Path) -> None:
    """Refuse what is not one value for each example.

    Args:
        found: By name; None for what the file does not tell.
        examples: One value for each, ``[n]``.
        name: Theirs.
        path: Where they were read from.

    Raises:
        ArtifactError: There are more or fewer.
    """
    for one, values in found.items():
        if values is not None and values.shape != examples.shape:
            raise ArtifactError(f"{path}: '{one}' and '{name}' do not fit each other")


def require_squares(statistics: Statistics, path: Path) -> None:
    """Refuse sums of squares with a negative entry.

    Args:
        statistics: F, and B with its diagonal.
        path: Where they were read from.

    Raises:
        ArtifactError: An entry of F, or of the diagonal of B, is negative.
    """
    squares = {f"fisher/{name}": tensor for name, tensor in statistics.fisher.items()}
    squares |= {f"mask_fisher/{key}": diagonal_of(block) for key, block in statistics.mask_fisher.items()}
    for name, tensor in squares.items():
        if (tensor < 0).any():
            raise ArtifactError(f"{path}: '{name}' has negative entries, expected sums of squares")


def require_sample(statistics: Statistics, rows: Tensor, path: Path) -> None:
    """Refuse a sample of mask gradients that is not of the examples in the sums, in order of their keys.

    Args:
        statistics: The sums and the sample.
        rows: Hashes of the rows in the sums, int64 ``[n]``.
        path: Where they were read from.

    Raises:
        ArtifactError: Keys are not ascending, not of those rows, or not as many as rows of gradients; or B
            is kept whole of as many units or more.
    """
    sampled, sample = statistics.sampled, statistics.mask_rows
    if sampled.dtype != torch.int64 or sampled.ndim != 1 or (sampled.diff() <= 0).any():
        raise ArtifactError(f"{path}: 'sampled' is not a list of keys, expected int64, ascending")
    if not torch.isin(sampled, rows).all():
        raise ArtifactError(f"{path}: 'sampled' names rows that are not in the sums")
    for key, of_group in sample.items():
        if len(of_group) != len(sampled):
            raise ArtifactError(
                f"{path}: 'mask_rows/{key}' has {len(of_group)} rows, expected one for each "
                f"of the {len(sampled)} keys in 'sampled'"
            )
    largest = max((len(block) for block in statistics.mask_fisher.values() if block.ndim > 1), default=0)
    if any(of_group.shape[-1] <= largest for of_group in sample.values()):
        raise ArtifactError(f"{path}: 'mask_rows' of groups of up to {largest} units, whose B is kept whole")


def require_directions(
    statistics: Statistics, directions: Directions | None, path: Path, *, part: bool
) -> None:
    """Refuse directions that are not of as many examples as they have to be.

    Args:
        statistics: The sums.
        directions: Which directions there have to be; None: none.
        path: Where they were read from.
        part: They are of a shard, which has a part of the examples.

    Raises:
        ArtifactError: There are none, or some that should not be; or their weights are not those of the
            examples that they have to be summed over.
    """
    weights, along = statistics.direction_weights, statistics.directions
    count = directions.count if directions is not None else 0
    odd = [name for name, tensor in along.items() if len(tensor) != count or not count]
    if odd or weights.shape != (count,):
        raise ArtifactError(
            f"{path}: '{f'directions/{odd[0]}' if odd else 'direction_weights'}' is not of {count} "
            "directions, as many as 'collected' says"
        )
    if directions is None:
        return
    found, most = directions.total(weights), min(directions.examples, statistics.count)
    alike = directions.kind == "classes" or bool((weights == found).all())
    whole = bool((weights == weights.round()).all() and (weights >= 0).all())
    if not (alike and whole and (found == most or (part and found < most))):
        shown = ", ".join(f"{weight:g}" for weight in weights.tolist())
        raise ArtifactError(
            f"{path}: 'direction_weights' are {shown}, expected those of {'at most ' if part else ''}{most} "
            "examples"
        )


def diagonal_of(block: Tensor) -> Tensor:
    """The diagonal ``[units]`` of B, which may be kept whole ``[units, units]`` or as its diagonal alone."""
    return block if block.ndim == 1 else block.diagonal()
