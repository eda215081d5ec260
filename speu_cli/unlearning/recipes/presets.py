"""The recipes that have names, and those of files."""

import tomllib
from dataclasses import fields
from pathlib import Path

from speu_cli.errors import InputError
from speu_cli.unlearning.recipes.recipe import Recipe

PRESETS = {
    recipe.name: recipe
    for recipe in (
        Recipe("default", target="each", steps=3, held=64),
        Recipe("paper", target="mean"),
    )
}


def find_recipe(name: str | Path) -> Recipe:
    """Find a recipe.

    Args:
        name: ``default``, ``paper``, or a TOML file with the keys of :class:`Recipe`, all but its name.

    Returns:
        The recipe.

    Raises:
        InputError: There is none of that name, or the file is no recipe.
    """
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(PRESETS)
        raise InputError(f"no recipe '{name}': expected one of {known}, or a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    keys = {field.name for field in fields(Recipe)} - {"name"}
    if unknown := sorted(found.keys() - keys):
        raise InputError(f"recipe {path}: no key '{unknown[0]}', expected {', '.join(sorted(keys))}")
    if "target" not in found:
        raise InputError(f"recipe {path}: target is missing, expected mean or each")
    return Recipe(path.stem, **found)
