"""TOFU with a small Llama: what becomes of a recipe whose model is refused, and of its statistics."""

import json
from pathlib import Path

import pytest
import tofu
from commands import REFUSED, Json

FOUND: Json = {name: {"value": 0.5} for name in tofu.METRICS.values()}


class Answers(tofu.Tofu):
    """Answers without running anything."""

    def unlearn(self, split: str, name: str, *options: str) -> Json:
        """Refuse the recipe ``default``; of the others tell what was asked."""
        refused = "default" in options
        return {"process_seconds": 3.0} | ({REFUSED: True} if refused else {"options": options})

    def evaluate(self, split: str, name: str) -> Json:
        """The same of every model, of those that there are."""
        assert "default" not in name
        return {"model": FOUND, "reference": FOUND, "gaps": {"gap.average": 1.0}}

    def mask(self, split: str, objective: str) -> str:
        """A mask that nothing looks at."""
        return objective


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(tmp_path, tmp_path)


def test_a_refused_recipe_is_a_row_without_numbers(answers: Answers) -> None:
    rows = {row["method"]: row for row in tofu.rows_of(answers, "forget05")}
    assert rows["SPE-SO-DEFAULT"] == {
        "method": "SPE-SO-DEFAULT",
        **dict.fromkeys(tofu.METRICS),
        "seconds": 3.0,
    }
    assert rows["SPE-SO-LANGUAGE"]["forget loss"] == 0.5
    assert "| SPE-SO-DEFAULT | –" in tofu.markdown(list(rows.values()))


def test_every_second_order_step_names_its_recipe(answers: Answers) -> None:
    named = {
        name: options[options.index("--recipe") + 1]
        for name, options in tofu.ways(answers, "forget05")
        if "--fisher" in options
    }
    assert named["SO"] == named["SPE-SO"] == "paper"
    assert named["SO-DEFAULT"] == named["SPE-SO-DEFAULT"] == "default"
    assert Path(named["SPE-SO-LANGUAGE"]).name == "language.toml"


def test_the_statistics_know_rows_that_the_model_has_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(tofu.Tofu, "speu", lambda _, *arguments, keep: asked.append((keep, *arguments)))
    tofu.Tofu(tmp_path, tmp_path).statistics()
    (only,) = asked
    assert only[only.index("--holdout") + 1] == str(tmp_path / "real_authors.jsonl")


def test_the_recipe_for_language_models_is_one() -> None:
    from speu_cli.unlearning.recipes.presets import find_recipe

    found = find_recipe(Path(tofu.LANGUAGE))
    assert (found.target, found.anew) == ("each", True)
    assert json.loads(json.dumps(found.record()))["held"] == found.held
