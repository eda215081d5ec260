"""Steps that aim: every forgotten example at a target of its own; a model is checked before it is written."""

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aimed_homes import aims_of, opened, with_statistics
from safetensors.torch import load_file

import speu_cli
from laws import Notes
from memorised import FORGET, TRAIN, Home, memorised, snapshot
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.write import read_record
from speu_cli.cli.main import main
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError, UnsafeStepError
from speu_cli.stages.aimed import blocked_rows, steps
from speu_cli.stages.aimed.acceptance import Acceptance
from speu_cli.stages.aimed.samples import draw_samples
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.stages.unlearn import UnlearnResult
from speu_cli.statistics.example_rows import ExampleRows, example_rows
from speu_cli.statistics.files import StatisticsFile
from speu_cli.unlearning.recipes.recipe import Recipe
from tiny import FAMILIES

# Tiny models with few examples, whose other answers move with the forgotten ones: whatever comes is taken.
RECIPE = 'target = "each"\nsteps = 4\nridge = 0.05\nheld = 10\nchecked = 20\nwidth = 1e9\n'


@pytest.fixture(scope="module", params=[(family, outputs) for family in FAMILIES for outputs in (2, 1)])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_statistics(memorised(tmp_path_factory.mktemp("home"), *request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_statistics(memorised(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def directed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With directions to hold."""
    home = memorised(tmp_path_factory.mktemp("directed"))
    train, dev = home.path("train.jsonl"), home.path("dev.jsonl")
    collection = CollectionChoice(directions="auto")
    speu_cli.fisher(home.model, train, home.folder / "fisher", holdout=dev, collection=collection)
    return home


def recipe(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def unlearn(home: Home, output: Path | None, **settings: Any) -> UnlearnResult:
    fisher = settings.pop("fisher", home.folder / "fisher")
    settings = {"sparsity": 0.5, **settings}
    return speu_cli.unlearn(
        home.model, fisher, home.path("train.jsonl"), home.path("ids.txt"), output, **settings
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_forget_set_goes_to_what_unseen_examples_are_known_like(home: Home, tmp_path: Path) -> None:
    result = unlearn(home, tmp_path / "new", recipe=recipe(tmp_path))
    assert result.loss_before < result.loss_after
    assert result.criterion["forget.reached"] > 0.7
    assert result.rate is None
    assert result.criterion["forget.unseen_p"] >= 0.05
    record = read_record(tmp_path / "new")
    assert record is not None
    assert record["step"]["way"]["ridge"] == 0.05
    assert record["step"]["criterion"] == result.criterion
    before, after = weights(home.model), weights(tmp_path / "new")
    moved = sum(int((before[name] != after[name]).sum()) for name in before)
    assert 0 < moved <= result.parameters_changed < result.parameters_total


def test_outside_the_mask_nothing_moves(bert: Home, tmp_path: Path) -> None:
    unlearn(bert, tmp_path / "new", recipe=recipe(tmp_path))
    selected = read_artifact(tmp_path / "new" / "speu-mask.safetensors").tensors
    before, after = weights(bert.model), weights(tmp_path / "new")
    for layer in range(2):
        frozen = torch.ones(24, dtype=torch.bool)
        frozen[selected[f"selected/filters/{layer}"]] = False
        name = f"bert.encoder.layer.{layer}.intermediate.dense.weight"
        assert torch.equal(before[name][frozen], after[name][frozen])
        if not frozen.all():
            assert (before[name][~frozen] != after[name][~frozen]).any()
    assert torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_the_same_request_gives_the_same_bits(bert: Home, tmp_path: Path) -> None:
    for name in ("one", "two"):
        unlearn(bert, tmp_path / name, recipe=recipe(tmp_path))
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_in_many_blocks_of_parameters_the_step_is_the_same(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearn(bert, tmp_path / "whole", recipe=recipe(tmp_path))
    monkeypatch.setattr(blocked_rows, "MOST_BYTES", 1)
    told = Notes()
    unlearn(bert, tmp_path / "blocks", recipe=recipe(tmp_path), runtime=Runtime(progress=told))
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "blocks")
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-5), name
    assert ["passes over them" in note for note in told.notes] == [True]


def test_of_many_blocks_one_is_in_memory_at_a_time(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[ExampleRows]] = []
    most = 0

    def watched(*given: Any, **settings: Any) -> ExampleRows:
        nonlocal most
        most = max(most, sum(one() is not None for one in made))
        rows = example_rows(*given, **settings)
        made.append(weakref.ref(rows))
        return rows

    monkeypatch.setattr(blocked_rows, "MOST_BYTES", 1)
    monkeypatch.setattr(blocked_rows, "example_rows", watched)
    unlearn(bert, tmp_path / "new", recipe=recipe(tmp_path))
    assert len(made) > 10
    assert most == 0


def test_held_examples_stay_nearer(bert: Home, tmp_path: Path) -> None:
    """All remaining examples held, or none: how far their margins move."""
    moved = {}
    for held in (0, 35):
        path = recipe(tmp_path, RECIPE.replace("held = 10", f"held = {held}"))
        unlearn(bert, tmp_path / str(held), recipe=path)
        moved[held] = np.abs(remaining_losses(bert, tmp_path / str(held)) - remaining_losses(bert)).mean()
    assert moved[35] < 0.5 * moved[0]


@pytest.mark.parametrize(("held", "more"), [(10, "anew = true"), (35, "settle = 4")])
def test_held_anew_or_lifted_once_more_the_rest_stays_nearer(
    held: int, more: str, bert: Home, tmp_path: Path
) -> None:
    """What is held anew is another part of the rest each time; what settles is what is held, all."""
    fallen = {}
    text = RECIPE.replace("held = 10", f"held = {held}").replace("checked = 20", "checked = 0")
    for name, keys in {"plain": "", "more": more + "\n"}.items():
        result = unlearn(bert, tmp_path / name, recipe=recipe(tmp_path, text + keys))
        assert result.criterion["forget.reached"] > 0.7
        after, before = remaining_losses(bert, tmp_path / name), remaining_losses(bert)
        fallen[name] = np.maximum(after - before, 0.0).mean()
    assert fallen["more"] < fallen["plain"]


def test_nothing_is_drawn_for_two_ends(bert: Home) -> None:
    session, _, forget = opened(bert)
    way = Recipe("some", "each", steps=2, held=5, checked=8, anew=True)
    drawn = draw_samples(session, forget, way)
    forgotten, held, checked = set(forget.encoded.ids), drawn.may_be_held(10).ids, drawn.checked.ids
    assert len(held) == len(set(held)) == 10
    assert drawn.may_be_held(4).ids == held[:4]
    assert len(checked) == 8
    assert not set(held) & set(checked)
    assert not forgotten & {*held, *checked}
    assert drawn.with_held([2, 0]).ids == [*forget.encoded.ids, held[2], held[0]]
    same = draw_samples(session, forget, replace(way, anew=False))
    assert (same.may_be_held(10).ids, same.checked.ids) == (held[:5], checked)
    most = draw_samples(session, forget, replace(way, held=10_000, checked=10_000))
    remaining = len(forget.training) - len(forgotten)
    assert len(most.checked) == remaining // 3
    assert len(most.may_be_held(10_000)) == remaining - remaining // 3


def test_the_statistics_tell_what_held_examples_are_known_like(bert: Home) -> None:
    session, file, forget = opened(bert)
    held = session.encode(forget.training.select(forget.training.ids[: -TRAIN // 2 : -1]))
    told = file.losses_of(forget.training.positions(held.ids))
    assert told is not None
    assert np.allclose(told, session.losses(held, "losses"), rtol=1e-4, atol=1e-7)


def test_where_the_statistics_do_not_tell_it_the_model_does(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StatisticsFile, "losses_of", lambda self, rows: None)
    unlearn(bert, tmp_path / "of-model", recipe=recipe(tmp_path))
    monkeypatch.undo()
    unlearn(bert, tmp_path / "of-file", recipe=recipe(tmp_path))
    before, one, other = (
        weights(folder) for folder in (bert.model, tmp_path / "of-model", tmp_path / "of-file")
    )
    for name, start in before.items():
        moved = float((one[name] - start).abs().max())
        assert float((other[name] - one[name]).abs().max()) <= 1e-3 * moved, name


def test_statistics_of_a_sample_serve_with_others_held(bert: Home, tmp_path: Path) -> None:
    half, train = tmp_path / "half", bert.path("train.jsonl")
    speu_cli.fisher(bert.model, train, half, holdout=bert.path("dev.jsonl"), max_examples=TRAIN // 2)
    result = unlearn(bert, None, fisher=half, recipe=recipe(tmp_path), dry_run=True)
    assert result.criterion["forget.reached"] > 0.7


def test_what_is_true_of_an_example_says_where_it_should_end(bert: Home) -> None:
    """Held-out examples of one class are hard, those of the other easy; the forgotten are of the first."""
    session, file, forget = opened(bert)
    assert forget.encoded.labels.tolist() == [1] * FORGET
    hard = np.arange(60) % 2 == 1
    file = replace(file, holdout_losses=np.where(hard, 3.0, 0.1), holdout_strata=hard.astype(np.int64))
    of_hard = np.full(FORGET, session.task.margins.of(np.array([3.0]))[0])
    assert np.allclose(aims_of(session, file, forget).margins, of_hard)
    older = replace(file, strata=None, holdout_strata=None)
    assert (aims_of(session, older, forget).margins > of_hard + 0.1).any()


def test_held_out_answers_may_fall_as_those_of_a_model_that_saw_fewer(bert: Home) -> None:
    session, file, forget = opened(bert)
    others = dict.fromkeys(("remaining", "heldout"), forget.encoded)
    criterion, aims = Acceptance(session, forget, others, width=0.0), aims_of(session, file, forget)
    least = {check.name: check.least for check in criterion.checks(aims.margins)}
    assert least["remaining.change"] == 0.0
    wrong = 1 - (session.outcomes(forget.encoded, "").answers["predictions"] == forget.encoded.labels.numpy())
    expected = wrong.mean() * ((1 - FORGET / TRAIN) ** -0.5 - 1)
    assert least["heldout.change"] == pytest.approx(-expected)


def remaining_losses(home: Home, model: Path | None = None) -> np.ndarray:
    session = open_session(model or home.model, DataChoice(), Runtime())
    examples = session.read(home.path("train.jsonl"))
    return session.losses(session.encode(examples.select(examples.ids[FORGET:])), "losses")


def test_a_model_that_does_not_meet_the_criterion_is_not_written(bert: Home, tmp_path: Path) -> None:
    """Steps far too soft to forget: the forget set does not look unseen."""
    path = recipe(tmp_path, 'target = "each"\nridge = 1e9\nchecked = 20\n')
    with pytest.raises(UnsafeStepError, match=r"meets the criterion: .*forget.reached is .* at least 0.5"):
        unlearn(bert, tmp_path / "new", recipe=path)
    assert not (tmp_path / "new").exists()


def test_what_is_tried_next_starts_from_the_original_model(bert: Home, tmp_path: Path) -> None:
    again = 'target = "each"\nsteps = 4\nridge = 1e9\nheld = 10\nchecked = 20\nwidth = 1e9\n'
    tried = unlearn(
        bert, tmp_path / "tried", recipe=recipe(tmp_path, again + "[[otherwise]]\nridge = 0.05\n")
    )
    assert tried.note is not None
    assert tried.note.startswith("not met at first: ")
    unlearn(bert, tmp_path / "at-once", recipe=recipe(tmp_path))
    one, other = weights(tmp_path / "tried"), weights(tmp_path / "at-once")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_steps_that_break_the_model_do_not_meet_the_criterion_either(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, solve = 1e9, steps.row_weights

    def far_too_long(products: torch.Tensor, wanted: torch.Tensor, ridge: float) -> torch.Tensor:
        return solve(products, wanted, ridge) * (math.inf if ridge == soft else 1)

    monkeypatch.setattr(steps, "row_weights", far_too_long)
    broken = RECIPE.replace("ridge = 0.05", f"ridge = {soft}")
    with pytest.raises(UnsafeStepError, match=r"meets the criterion: .* is not finite"):
        unlearn(bert, tmp_path / "new", recipe=recipe(tmp_path, broken))
    assert not (tmp_path / "new").exists()
    mended = recipe(tmp_path, broken + "[[otherwise]]\nridge = 0.05\n")
    note = unlearn(bert, tmp_path / "new", recipe=mended).note
    assert note is not None
    assert "is not finite" in note


def test_held_out_examples_are_looked_at_where_they_are_given(bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, None, recipe=recipe(tmp_path), holdout=bert.path("dev.jsonl"), dry_run=True)
    assert {"heldout.change", "heldout.balance_errors", "remaining.change"} <= result.criterion.keys()


def test_a_mask_of_entries_is_kept_to(bert: Home, tmp_path: Path) -> None:
    whole = unlearn(bert, tmp_path / "whole", recipe=recipe(tmp_path))
    part = unlearn(bert, tmp_path / "part", recipe=recipe(tmp_path), within="wanda:0.5")
    assert part.parameters_changed < whole.parameters_changed
    before, after = weights(bert.model), weights(tmp_path / "part")
    moved = sum(int((before[name] != after[name]).sum()) for name in before)
    assert 0 < moved <= part.parameters_changed


def test_without_unseen_examples_it_is_refused(bert: Home, tmp_path: Path) -> None:
    speu_cli.fisher(bert.model, bert.path("train.jsonl"), tmp_path / "fisher")
    with pytest.raises(InputError, match="the statistics know none"):
        unlearn(bert, tmp_path / "new", fisher=tmp_path / "fisher", recipe="default")


def test_statistics_without_losses_are_refused(bert: Home, tmp_path: Path) -> None:
    found = read_artifact(bert.folder / "fisher")
    record = {key: one for key, one in found.record.items() if key not in {"sha256", "format", "version"}}
    tensors = {name: tensor for name, tensor in found.tensors.items() if name != "losses"}
    write_artifact(tmp_path / "old", record.pop("kind"), record, tensors, force=False)
    with pytest.raises(ArtifactError, match="without the losses of the training examples"):
        unlearn(bert, tmp_path / "new", fisher=tmp_path / "old", recipe="default")
    unlearn(bert, tmp_path / "new", fisher=tmp_path / "old", recipe="paper")


OF_ONE_DIRECTION = {
    "rate": 1e-6,
    "target_loss": 0.3,
    "max_overshoot": 2.0,
    "forget_examples": "all",
    "hold_directions": 1.0,
}


@pytest.mark.parametrize("option", OF_ONE_DIRECTION)
def test_what_one_direction_has_is_refused(option: str, bert: Home, tmp_path: Path) -> None:
    named = "--" + option.replace("_", "-")
    for asked in ("default", recipe(tmp_path)):
        with pytest.raises(InputError, match=f"a target of its own, so it has no {named}"):
            unlearn(bert, tmp_path / "new", recipe=asked, **{option: OF_ONE_DIRECTION[option]})


def test_without_a_name_each_example_has_a_target(bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, tmp_path / "new")
    assert result.recipe == "default"
    record = read_record(tmp_path / "new")
    assert record is not None
    assert record["step"]["recipe"]["name"] == "default"
    unlearn(bert, tmp_path / "named", recipe="default")
    assert snapshot(tmp_path / "new") == snapshot(tmp_path / "named")


@pytest.mark.parametrize("option", OF_ONE_DIRECTION)
def test_an_option_of_the_papers_step_asks_for_it(option: str, directed: Home, tmp_path: Path) -> None:
    given = {option: OF_ONE_DIRECTION[option]}
    result = unlearn(directed, tmp_path / "new", **given)
    assert result.recipe == "paper"
    unlearn(directed, tmp_path / "named", recipe="paper", **given)
    assert snapshot(tmp_path / "new") == snapshot(tmp_path / "named")


def test_held_out_examples_do_not_go_with_an_option_of_the_papers_step(bert: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recipe paper, which --rate asks for, does not check its step"):
        unlearn(bert, tmp_path / "new", rate=1e-6, holdout=bert.path("dev.jsonl"))


def test_without_losses_and_a_name_nothing_else_is_done_instead(bert: Home, tmp_path: Path) -> None:
    speu_cli.fisher(bert.model, bert.path("train.jsonl"), tmp_path / "fisher")
    with pytest.raises(InputError, match="the statistics know none") as refused:
        unlearn(bert, tmp_path / "new", fisher=tmp_path / "fisher")
    assert "recipe paper" in str(refused.value.hint)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("option", ["--recipe", "--holdout", "--damping"])
def test_dampening_has_no_recipe(option: str, bert: Home, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"--recipe": "paper", "--holdout": bert.path("dev.jsonl"), "--damping": "0.1"}[option]
    asked = [
        "--fisher",
        bert.path("fisher"),
        "--data",
        bert.path("train.jsonl"),
        "--forget",
        bert.path("ids.txt"),
    ]
    command = ["unlearn", str(bert.model), *asked, "--method", "ssd", option, given, "--dry-run"]
    assert main(command) == 2
    assert f"method 'ssd' takes no step, so it has no {option}" in capsys.readouterr().err


def test_a_training_has_no_recipe(bert: Home, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--data", bert.path("train.jsonl"), "--forget", bert.path("ids.txt"), "--dry-run"]
    assert main(["unlearn", str(bert.model), *asked, "--method", "ga", "--recipe", "paper"]) == 2
    assert "--recipe is of the second-order step" in capsys.readouterr().err


def test_at_the_prompt(bert: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--fisher", bert.path("fisher"), "--data", bert.path("train.jsonl")]
    asked += ["--forget", bert.path("ids.txt"), "--sparsity", "0.5"]
    command = ["unlearn", str(bert.model), *asked, "-o", str(tmp_path / "new")]
    assert main([*command, "--recipe", str(recipe(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "criterion" in printed
    assert "forget.unseen_p" in printed
    soft = recipe(tmp_path, 'target = "each"\nridge = 1e9\n')
    assert main([*command, "--force", "--recipe", str(soft)]) == 8
    assert "no way of the recipe meets the criterion" in capsys.readouterr().err
    assert main([*command, "--force", "--recipe", "papr"]) == 2
    assert "no recipe 'papr'" in capsys.readouterr().err


@pytest.mark.parametrize("keys", ["steps = 3", 'objective = "margin"', 'objective = "root"\nsteps = 2'])
def test_along_directions_the_mean_loss_meets_the_target_in_any_number_of_steps(
    keys: str, bert: Home, tmp_path: Path
) -> None:
    path = recipe(tmp_path, f'target = "mean"\n{keys}\n')
    result = unlearn(bert, tmp_path / "new", recipe=path)
    assert result.loss_after == pytest.approx(result.target_loss, rel=0.1)
    record = read_record(tmp_path / "new")
    assert record is not None
    assert len(record["step"]["rates"]) == record["step"]["recipe"]["steps"]
    unlearn(bert, tmp_path / "paper", recipe="paper")
    one, other = weights(tmp_path / "new"), weights(tmp_path / "paper")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_file_that_says_what_the_paper_does_does_it(bert: Home, tmp_path: Path) -> None:
    unlearn(bert, tmp_path / "file", recipe=recipe(tmp_path, 'target = "mean"\n'))
    unlearn(bert, tmp_path / "paper", recipe="paper")
    one, other = weights(tmp_path / "file"), weights(tmp_path / "paper")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_held_out_examples_are_refused_where_nothing_is_checked(bert: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recipe paper does not check its step, so it has no --holdout"):
        unlearn(bert, tmp_path / "new", recipe="paper", holdout=bert.path("dev.jsonl"))


def test_an_output_that_holds_the_held_out_examples_is_refused(bert: Home, tmp_path: Path) -> None:
    output = tmp_path / "new"
    unlearn(bert, output)
    inside = output / "dev.jsonl"
    inside.write_bytes(Path(bert.path("dev.jsonl")).read_bytes())
    again = {"holdout": str(inside), "runtime": speu_cli.Runtime(force=True)}
    with pytest.raises(InputError, match="would replace"):
        unlearn(bert, output, recipe=recipe(tmp_path), **again)
    assert inside.exists()


def test_an_output_that_holds_the_recipe_is_refused(bert: Home, tmp_path: Path) -> None:
    output = tmp_path / "new"
    unlearn(bert, output, recipe="paper")
    inside = recipe(output)
    with pytest.raises(InputError, match="would replace"):
        unlearn(bert, output, recipe=inside, runtime=speu_cli.Runtime(force=True))
    assert inside.exists()
    dry = unlearn(bert, output, recipe=inside, dry_run=True)
    assert str(inside) in dry.reads
