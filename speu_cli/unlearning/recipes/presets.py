"""The recipes that have names, and those of files."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from speu_cli.errors import InputError
from speu_cli.unlearning.recipes.recipe import Recipe

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "target": "each",
        "steps": 3,
        "settle": 1,
        "follow": True,
        "held": 256,
        "anew": True,
        "dropout_passes": 8,
        "otherwise": [
            {"follow": False},
            {"follow": False, "steps": 5, "settle": 2, "held": 512, "terms": False},
        ],
    },
    "paper": {"target": "mean"},
}
OTHERWISE = "otherwise"
OF_A_WAY = {"damping", "steps", "settle", "follow", "ridge", "held", "anew", "terms"}


def recipe_file(name: str | Path) -> Path | None:
    """Where a recipe is read from; None where it has a name."""
    return None if isinstance(name, str) and name in PRESETS else Path(name)


def find_recipe(name: str | Path) -> Recipe:
    """Find a recipe.

    Args:
        name: ``default``, ``paper``, or a TOML file with the keys of :class:`Recipe`, all but its name.

    Returns:
        The recipe.

    Raises:
        InputError: There is none of that name, or the file is no recipe.
    """
    path = recipe_file(name)
    if path is None:
        return _recipe(str(name), PRESETS[str(name)])
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(PRESETS)
        raise InputError(f"no recipe '{name}': expected one of {known}, or a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    return _recipe(str(path), found)


def _recipe(name: str, found: Mapping[str, Any]) -> Recipe:
    """Make a recipe of what a file says.

    Args:
        name: Of the recipe.
        found: Its keys; under ``otherwise`` a list of what each further way has in place of the first's.

    Returns:
        The recipe.

    Raises:
        InputError: A key is missing or unknown, or has a value that cannot be.
    """
    _refuse_unknown(name, found, {field.name for field in fields(Recipe)} - {"name"})
    if "target" not in found:
        raise InputError(f"recipe {name}: target is missing, expected mean or each")
    first = Recipe(name, **{key: value for key, value in found.items() if key != OTHERWISE})
    further = found.get(OTHERWISE, [])
    if not isinstance(further, list) or not all(isinstance(one, dict) for one in further):
        raise InputError(f"recipe {name}: {OTHERWISE} is {further!r}, expected a list of tables")
    ways = []
    for number, instead in enumerate(further, start=2):
        _refuse_unknown(f"{name}, way {number}", instead, OF_A_WAY)
        ways.append(replace(first, name=f"{name}, way {number}", **instead))
    return replace(first, otherwise=tuple(ways))


def _refuse_unknown(name: str, found: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(found.keys() - known):
        raise InputError(f"recipe {name}: no key '{unknown[0]}', expected {', '.join(sorted(known))}")
