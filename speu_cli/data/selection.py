"""Which examples of a set a stage uses: a list, all but a list, or a random sample."""

from collections.abc import Sequence

import numpy as np

from speu_cli.data.examples import Examples
from speu_cli.errors import InputError


def select_training(
    examples: Examples, *, ids: Sequence[str] | None, exclude: Sequence[str] | None
) -> Examples:
    """Narrow a set down to some ids, less others, in the order of the set.

    Args:
        examples: The whole set.
        ids: The ids to keep; None: all.
        exclude: The ids to leave out, whether kept by ``ids`` or not; None: none.

    Returns:
        What is left.

    Raises:
        InputError: Nothing is left.
    """
    kept = set(range(len(examples)) if ids is None else examples.positions(ids, ids_source="ids"))
    kept -= set(examples.positions(exclude or [], ids_source="exclude"))
    if not kept:
        raise InputError(f"{examples.source}: ids and exclude leave nothing, expected at least one example")
    chosen = [one for position, one in enumerate(examples.ids) if position in kept]
    return examples.select(chosen, why="were excluded")


def sample_flags(n: int, max_examples: int | None, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Choose a random sample without replacement.

    Args:
        n: How many examples there are.
        max_examples: How many to choose at most; None: all.
        seed: Seed of the choice: the same seed, the same sample.

    Returns:
        bool [n]: chosen or not.

    Raises:
        InputError: ``max_examples`` is below 1.
    """
    if max_examples is not None and max_examples < 1:
        raise InputError(f"max examples: got {max_examples}, expected at least 1")
    if max_examples is None or max_examples >= n:
        return np.ones(n, dtype=np.bool_)
    flags = np.zeros(n, dtype=np.bool_)
    flags[np.random.default_rng(seed).choice(n, size=max_examples, replace=False)] = True
    return flags
