"""Recipes: those with names, and those of files."""

from dataclasses import replace
from pathlib import Path

import pytest

from speu_cli.errors import InputError
from speu_cli.unlearning.recipes.presets import PRESETS, find_recipe

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_preset_is_one() -> None:
    assert {find_recipe(name).name for name in PRESETS} == {"default", "paper"}
    assert find_recipe("paper").target == "mean"
    assert find_recipe("default").target == "each"


def test_the_documents_show_the_default(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    shown = find_recipe(write(tmp_path, text.split("```toml\n")[1].split("```")[0]))
    ways, others = list(find_recipe("default").ways()), list(shown.ways())
    assert len(ways) == len(others)
    for way, other in zip(ways, others, strict=True):
        assert replace(way, name="", otherwise=()) == replace(other, name="", otherwise=())


def test_a_file_says_the_same_as_a_recipe(tmp_path: Path) -> None:
    text = 'target = "each"\nsteps = 2\nridge = 0.5\nheld = 8\n[[otherwise]]\nheld = 16\n'
    recipe = find_recipe(write(tmp_path, text))
    assert (recipe.steps, recipe.ridge, recipe.held, recipe.damping) == (2, 0.5, 8, 0.1)
    ways = list(recipe.ways())
    assert [(way.held, way.steps) for way in ways] == [(8, 2), (16, 2)]
    assert recipe.most_drawn == 16
    damped = recipe.with_damping(1.0)
    assert [way.damping for way in damped.ways()] == [1.0, 1.0]


def test_what_is_held_anew_goes_round_what_was_drawn(tmp_path: Path) -> None:
    text = 'target = "each"\nsteps = 2\nsettle = 1\nheld = 4\n[[otherwise]]\nanew = true\nheld = 3\n'
    same, anew = find_recipe(write(tmp_path, text)).ways()
    assert (same.rounds, same.most_drawn) == (3, 9)
    assert [same.held_in(step, 9) for step in range(3)] == [[0, 1, 2, 3]] * 3
    assert [anew.held_in(step, 9) for step in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 1, 2]]
    assert [anew.held_in(step, 5) for step in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]
    assert anew.held_in(1, 2) == [0, 1]
    assert anew.held_in(0, 0) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "target is missing, expected mean or each"),
        ('target = "all"', "target is 'all', expected mean or each"),
        ('target = "each"\nstep = 3', "no key 'step', expected anew, checked, damping"),
        ('target = "each"\nsteps = 0', "steps is 0, expected a whole number of at least 1"),
        ('target = "each"\nsteps = 2.5', "steps is 2.5, expected a whole number"),
        ('target = "each"\nridge = 0', "ridge is 0, expected a number above 0"),
        ('target = "each"\nridge = nan', "ridge is nan, expected a number above 0"),
        ('target = "each"\nridge = "0.1"', "ridge is '0.1', expected a number above 0"),
        ('target = "each"\ndamping = true', "damping is True, expected a number of at least 0"),
        ('target = "each"\nwidth = 0', "width is 0, expected a number above 0"),
        ('target = "each"\nwidth = "wide"', "width is 'wide', expected a number above 0"),
        ('target = "mean"\nobjective = "losses"', "objective is 'losses', expected loss, root or margin"),
        ('target = "each"\nobjective = "root"', "objective is 'root', expected no value, as target is each"),
        ('target = "each"\nhold_directions = inf', "hold_directions is inf, expected no value"),
        ('target = "mean"\nhold_directions = 0', "hold_directions is 0, expected a number above 0, or inf"),
        ('target = "each"\nheld = -1', "held is -1, expected a whole number of at least 0"),
        ('target = "each"\nsettle = -1', "settle is -1, expected a whole number of at least 0"),
        ('target = "each"\nanew = 1', "anew is 1, expected true or false"),
        ('target = "each"\nterms = 0', "terms is 0, expected true or false"),
        ('target = "mean"\nexamples = "some"', "examples is 'some', expected all or remembered"),
        ('target = "each"\notherwise = 3', "otherwise is 3, expected a list of tables"),
        ('target = "each"\n[[otherwise]]\ntarget = "mean"', "way 2: no key 'target'"),
        ("target = ", "cannot be read"),
    ],
)
def test_what_is_no_recipe_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        find_recipe(write(tmp_path, text))
    assert message in str(refused.value)


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="no recipe 'papers': expected one of default, paper, or a TOML file"
    ):
        find_recipe("papers")
