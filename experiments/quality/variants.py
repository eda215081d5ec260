"""The recipes that are compared: the two that have names, and others that differ from them in one part."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_cuts import NoDataError
from study import Study, Way

Recipe = str | Mapping[str, str | float | int]

SO, SPE_SO = "so", "spe-so"
ALL_IS_WITHIN = 1e9
MEAN: Mapping[str, str | float | int] = {"target": "mean"}
HOLDING: Mapping[str, str | float | int] = {**MEAN, "hold_directions": math.inf}
# What the checks of `default` would refuse is measured too.
EACH: Mapping[str, str | float | int] = {"target": "each", "steps": 3, "held": 64, "width": ALL_IS_WITHIN}
FIXED: Mapping[str, str | float | int] = {**EACH, "steps": 5, "held": 256, "ridge": 0.03}
ANEW: Mapping[str, str | float | int] = {**EACH, "held": 256, "anew": True, "ridge": 0.03}


@dataclass(frozen=True)
class Variant:
    """A way to make a step.

    Attributes:
        name: In tables.
        label: In file names.
        recipe: The name of one, or what its file says.
        method: ``spe-so`` or ``so``.
        options: Further ones of ``speu unlearn``.
        directions: How many its statistics hold, as ``speu fisher --directions``; empty: none.
    """

    name: str
    label: str
    recipe: Recipe
    method: str = SPE_SO
    options: tuple[str, ...] = ()
    directions: str = ""

    @property
    def checked(self) -> bool:
        """Whether held-out rows are given to the request, which must be answered as before."""
        return self.recipe == "default" or (
            not isinstance(self.recipe, str) and self.recipe["target"] == "each"
        )

    def measured_on(self, number: int, *, further: bool) -> bool:
        """Whether it is measured on a draw: without a name on the first, SO on those of the tables.

        Args:
            number: Of the draw, from 0.
            further: It is a smaller or a larger one than those of the tables.

        Returns:
            Whether.
        """
        named = isinstance(self.recipe, str)
        return number == 0 or (named and not (further and self.method == SO))

    def way(self, study: Study) -> Way:
        """Name the options, and write the recipe's file.

        Args:
            study: Where.

        Returns:
            As a user would serve a request with it.
        """
        recipe = self.recipe
        if not isinstance(recipe, str):
            recipe = str(written(recipe, study.work / f"recipe-{self.label}.toml"))
        statistics = ("--fisher", str(statistics_in(study.work, self.directions)))
        options = ("--method", self.method, "--recipe", recipe, *statistics, *self.options)
        return Way(self.name, self.label, (*options, *(study.holdout if self.checked else ())), steps=False)


PAPER_SO = Variant("paper, SO", "paper-so", "paper", SO)
PAPER = Variant("paper", "paper", "paper")
DEFAULT_SO = Variant("default, SO", "default-so", "default", SO)
DEFAULT = Variant("default", "default", "default")

EACH_ROW = (
    Variant("each row, 3 steps, none held", "each-none-held", {**EACH, "held": 0}),
    Variant("each row, 3 steps, 64 held", "each", EACH),
    Variant("each row, 3 steps, 256 held", "each-256-held", {**EACH, "held": 256}),
    Variant("each row, 3 steps, 256 held anew, ridge 0.03", "each-256-anew-0.03", ANEW),
)
VARIANTS = (
    PAPER_SO,
    PAPER,
    Variant("paper + remembered rows", "paper-remembered", {**MEAN, "examples": "remembered"}),
    Variant("paper + directions held", "paper-directions", HOLDING, directions="auto"),
    Variant("paper + 1 direction held", "paper-directions-1", HOLDING, directions="1"),
    Variant("paper + 16 directions held", "paper-directions-16", HOLDING, directions="16"),
    Variant("paper + root of the loss", "paper-root", {**MEAN, "objective": "root"}),
    Variant("paper + margin", "paper-margin", {**MEAN, "objective": "margin"}),
    Variant("paper + 4 steps", "paper-4-steps", {**MEAN, "steps": 4}),
    Variant("each row, 1 step", "each-1-step", {**EACH, "steps": 1}),
    *EACH_ROW[:3],
    Variant("each row, 3 steps, 512 held", "each-512-held", {**EACH, "held": 512}),
    Variant("each row, 5 steps, 256 held, ridge 0.03", "each-5-256-0.03", FIXED),
    *EACH_ROW[3:],
    Variant("each row, 64 held, damping 1", "each-damping-1", {**EACH, "damping": 1.0}),
    Variant("each row, 64 held, ridge 0.03", "each-ridge-0.03", {**EACH, "ridge": 0.03}),
    DEFAULT_SO,
    DEFAULT,
)


def statistics_in(work: Path, directions: str) -> Path:
    """Where the statistics are that hold so many directions.

    Args:
        work: The folder of a study.
        directions: As `Variant.directions`.

    Returns:
        The file.
    """
    suffixes = {"": "", "auto": "-directions"}
    return work / f"fisher{suffixes.get(directions, f'-directions-{directions}')}.safetensors"


def written(recipe: Mapping[str, str | float | int], path: Path) -> Path:
    """Write a recipe as TOML; one that is there is the same.

    Args:
        recipe: Its keys.
        path: Of the file.

    Returns:
        The path.

    Raises:
        NoDataError: Another recipe was written there, and models were made with it.
    """
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in recipe.items())
    if path.exists() and path.read_text() != text:
        raise NoDataError(f"{path} was another recipe: choose another WORK, or remove what was made with it")
    path.write_text(text)
    return path


def _toml(value: str | float | int) -> str:
    return "inf" if value == math.inf else json.dumps(value)
