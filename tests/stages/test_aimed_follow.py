"""Steps that settle go to what unseen examples are known like by then."""

import math
from pathlib import Path

import numpy as np
import pytest
from aimed_homes import aims_of, opened, with_statistics

import speu_cli
from laws import Notes
from memorised import Home, memorised
from oracles import targets as oracle
from speu_cli.checkpoints.write import read_record
from speu_cli.errors import UnsafeStepError
from speu_cli.stages.aimed import steps
from speu_cli.stages.aimed.aiming import aiming_of
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.unlearn import UnlearnResult
from speu_cli.unlearning.strata import strata_of
from tiny import FAMILIES, write_rows

RECIPE = 'target = "each"\nsettle = 1\nheld = 10\nchecked = 10\nwidth = 1e9\n'
SHRUNK = 0.7  # times all weights: a model that is less sure of everything


@pytest.fixture(scope="module", params=[(family, outputs) for family in FAMILIES for outputs in (2, 1)])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_statistics(memorised(tmp_path_factory.mktemp("home"), *request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return with_statistics(memorised(tmp_path_factory.mktemp("bert")))


def unlearn(
    home: Home,
    output: Path,
    *,
    follow: bool,
    holdout: str | None,
    more: str = "steps = 2\nridge = 0.05\n",
    told: Notes | None = None,
) -> UnlearnResult:
    recipe = output.with_name(f"{output.name}.toml")
    recipe.write_text(f"{RECIPE}follow = {str(follow).lower()}\n{more}")
    return speu_cli.unlearn(
        home.model,
        home.folder / "fisher",
        home.path("train.jsonl"),
        home.path("ids.txt"),
        output,
        sparsity=0.5,
        recipe=recipe,
        holdout=holdout,
        runtime=Runtime(progress=told or Notes()),
    )


def test_before_any_step_the_targets_are_those_of_the_statistics(home: Home) -> None:
    session, file, forget = opened(home)
    unseen = session.encode(session.read(home.path("dev.jsonl")))
    found = aiming_of(session, file, forget).at_present(unseen)
    assert np.allclose(found.margins, aims_of(session, file, forget).margins, atol=1e-4)


def test_of_a_model_that_moved_they_are_what_an_oracle_finds(home: Home) -> None:
    """The places are those of before; the unseen examples are known as they are at present."""
    session, file, forget = opened(home)
    aiming, margins = aiming_of(session, file, forget), session.task.margins
    unseen = session.encode(session.read(home.path("dev.jsonl")))
    before = margins.of(session.losses(unseen, ""))
    for parameter in session.checkpoint.model.parameters():
        parameter.data.mul_(SHRUNK)
    present = margins.of(session.losses(unseen, ""))
    assert not np.allclose(present, before, atol=1e-3)
    assert aiming.kinds is not None
    strata = strata_of(aiming.kinds, [session.task.strata(unseen).numpy()])[1]
    assert len(np.unique(strata)) > 1

    def rows(of: np.ndarray, strata: np.ndarray) -> list[tuple[float, int]]:
        return list(zip(of.tolist(), strata.tolist(), strict=True))

    now, known = (rows(one.margins, one.strata) for one in (aiming.now, aiming.known))
    lowest = margins.lowest(session.checkpoint.model.config)
    expected = oracle.unseen_margins(now, known, rows(present, strata), lowest, aiming.order.tolist())
    assert np.allclose(aiming.at_present(unseen).margins, expected, atol=1e-4)


def test_they_are_followed_where_the_recipe_says_so(bert: Home, tmp_path: Path) -> None:
    dev, told = bert.path("dev.jsonl"), Notes()
    stays = unlearn(bert, tmp_path / "stays", follow=False, holdout=dev)
    follows = unlearn(bert, tmp_path / "follows", follow=True, holdout=dev, told=told)
    assert not told.notes
    session, file, forget = opened(bert)
    before = session.task.margins.losses(aims_of(session, file, forget).margins).mean()
    assert stays.target_loss == pytest.approx(float(before), rel=1e-5)
    assert follows.target_loss != pytest.approx(float(before), rel=1e-3)
    assert follows.loss_after != pytest.approx(stays.loss_after, rel=1e-5)


@pytest.mark.parametrize("few", [False, True])
def test_too_few_unseen_examples_or_none_tell_nothing(bert: Home, tmp_path: Path, few: bool) -> None:
    """The targets stay, and whoever gave too few is told."""
    rows = bert.rows("dev.jsonl")
    holdout = str(write_rows(tmp_path / "few.jsonl", rows[:-1])) if few else None
    untold, told = Notes(), Notes()
    stays = unlearn(bert, tmp_path / "stays", follow=False, holdout=holdout, told=untold)
    follows = unlearn(bert, tmp_path / "follows", follow=True, holdout=holdout, told=told)
    assert follows.loss_after == stays.loss_after
    assert follows.target_loss == stays.target_loss
    expected = f"--holdout has {len(rows) - 1} examples, fewer than the {len(rows)} of the statistics"
    assert [expected in note for note in told.notes] == [True] * few
    assert not untold.notes


def test_without_anything_to_follow_no_way_is_tried_twice(bert: Home, tmp_path: Path) -> None:
    """Steps far too soft to forget, of which the second way would not follow."""
    soft = "steps = 2\nridge = 1e9\n[[otherwise]]\nfollow = false\n[[otherwise]]\nfollow = false\nsteps = 3\n"
    told = []
    for holdout in (None, bert.path("dev.jsonl")):
        with pytest.raises(UnsafeStepError, match="way 3") as refused:
            unlearn(bert, tmp_path / "no", follow=True, holdout=holdout, more=soft)
        told.append("way 2" in str(refused.value))
    assert told == [False, True]
    one = unlearn(bert, tmp_path / "one", follow=True, holdout=None)
    record = read_record(tmp_path / "one")
    assert record is not None
    assert record["step"]["recipe"]["follow"] is True
    assert record["step"]["way"]["follow"] is False
    assert one.note is None


def test_what_unseen_examples_are_known_like_by_a_broken_model_breaks_nothing(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = steps.row_weights
    monkeypatch.setattr(steps, "row_weights", lambda *asked: solve(*asked) * math.inf)
    with pytest.raises(UnsafeStepError, match="is not finite"):
        unlearn(bert, tmp_path / "no", follow=True, holdout=bert.path("dev.jsonl"), more="steps = 1\n")
    assert not (tmp_path / "no").exists()
