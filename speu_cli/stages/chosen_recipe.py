"""The recipe of a request: the one that was named, or the one that has the options that were given."""

from collections.abc import Mapping
from pathlib import Path

from speu_cli.errors import InputError
from speu_cli.unlearning.recipes.presets import find_recipe
from speu_cli.unlearning.recipes.recipe import Recipe


def choose_recipe(
    name: str | Path | None,
    damping: float | None,
    holdout: str | None,
    of_one_direction: Mapping[str, object],
) -> Recipe:
    """Find the recipe, and refuse what it has no use for.

    Args:
        name: Of the recipe. Default: ``default``; ``paper`` with an option that only a step along one
            direction has.
        damping: In place of its own.
        holdout: Source that only a recipe that checks its step looks at.
        of_one_direction: Options that a recipe with many targets does not have, None where not given.

    Returns:
        The recipe.

    Raises:
        InputError: There is none of that name, or an option is not for it.
    """
    asked = [option for option, value in of_one_direction.items() if value is not None]
    recipe = find_recipe(name if name is not None else "paper" if asked else "default")
    if recipe.target == "mean" and holdout is not None:
        follows = f", which {asked[0]} asks for," if name is None else ""
        raise InputError(
            f"recipe {recipe.name}{follows} does not check its step, so it has no --holdout",
            hint=f"leave {asked[0]} out" if name is None else "take --recipe default",
        )
    if recipe.target == "each" and asked:
        raise InputError(
            f"recipe {recipe.name} gives each example a target of its own, so it has no {asked[0]}",
            hint="take --recipe paper",
        )
    return recipe if damping is None else recipe.with_damping(damping)
