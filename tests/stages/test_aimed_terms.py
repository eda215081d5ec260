"""Steps that aim at each term of a loss: start and end of an answer, which are known or unknown together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aimed_homes import aims_of
from safetensors.torch import load_file
from tiny_tasks import answering, questions, save

import speu_cli
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError
from speu_cli.stages.aimed import blocked_rows
from speu_cli.stages.aimed.aiming import aiming_of
from speu_cli.stages.aimed.aims import Aims
from speu_cli.stages.request import ForgetSet, open_forget_set, open_with_statistics
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.files import StatisticsFile
from tiny import write_ids, write_rows

RECIPE = 'target = "each"\nsteps = 4\nridge = 0.01\nheld = 10\nchecked = 10\nwidth = 1e9\n'
TRAIN, DEV, FORGET = 24, 20, 6
CHOICE = DataChoice(task="question-answering")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training questions have the word for an answer that the model finds likeliest; the others any."""
    folder = tmp_path_factory.mktemp("home")
    save(folder / "model", answering())
    train, dev = (
        questions(count, seed=seed, longest=10, unanswerable=False) for count, seed in ((TRAIN, 0), (DEV, 1))
    )
    for row in train:
        row["answers"] = likeliest(folder, row)
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "dev.jsonl", dev)
    write_ids(folder / "ids.txt", [row["id"] for row in train[:FORGET]])
    fisher(folder, folder / "fisher")
    return folder


def likeliest(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Of the answers of a single word."""
    words = row["context"].split()
    starts = [len(" ".join([*words[:place], ""])) for place in range(len(words))]
    answers = [{"text": [word], "answer_start": [start]} for word, start in zip(words, starts, strict=True)]
    rows = [row | {"id": str(place), "answers": answer} for place, answer in enumerate(answers)]
    session = open_session(folder / "model", CHOICE, Runtime())
    encoded = session.encode(session.read(str(write_rows(folder / "some.jsonl", rows))))
    return answers[int(session.losses(encoded, "").argmin())]


def fisher(home: Path, output: Path) -> None:
    speu_cli.fisher(
        home / "model", str(home / "train.jsonl"), output, holdout=str(home / "dev.jsonl"), choice=CHOICE
    )


def unlearn(
    home: Path, output: Path, statistics: Path | None = None, more: str = ""
) -> dict[str, torch.Tensor]:
    """The weights of the model that a request gives."""
    recipe = output.with_name("recipe.toml")
    recipe.write_text(RECIPE + more)
    data, ids = str(home / "train.jsonl"), str(home / "ids.txt")
    result = speu_cli.unlearn(
        home / "model", statistics or home / "fisher", data, ids, output, sparsity=0.3, recipe=recipe
    )
    assert result.criterion["forget.reached"] > 0.7
    return load_file(output / "model.safetensors")


def opened(home: Path) -> tuple[Session, StatisticsFile, ForgetSet]:
    session, file = open_with_statistics(home / "model", home / "fisher", DataChoice(), Runtime())
    data, ids = str(home / "train.jsonl"), str(home / "ids.txt")
    return (
        session,
        file,
        open_forget_set(session, file, data, ids, forget_examples="all", unseen_loss=file.unseen_loss),
    )


def margins_by_term(home: Path, model: Path, forget: ForgetSet) -> np.ndarray:
    session = open_session(model, CHOICE, Runtime())
    return session.task.margins.of(session.several_losses(session.task.terms, forget.encoded, ""))


def test_the_statistics_keep_the_terms_of_unseen_answers(home: Path) -> None:
    session, file, _ = opened(home)
    assert file.holdout_terms is not None
    assert file.holdout_terms.shape == (DEV, 2)
    assert np.allclose(file.holdout_terms.mean(1), file.holdout_losses, rtol=1e-6)
    encoded = session.encode(session.read(str(home / "dev.jsonl")))
    for term, loss in enumerate(session.task.terms):
        of_term = session.several_losses([loss], encoded, "")[:, 0]
        assert np.allclose(file.holdout_terms[:, term], of_term, rtol=1e-5)
    assert read_artifact(home / "fisher").tensors["holdout_terms"].dtype == torch.float32


def test_targets_are_pairs_that_unseen_answers_have(home: Path) -> None:
    session, file, forget = opened(home)
    aims = aims_of(session, file, forget)
    assert list(aims.moved) == list(session.task.terms)
    assert file.holdout_terms is not None
    unseen, now = session.task.margins.of(file.holdout_terms), margins_by_term(home, home / "model", forget)
    falls = aims.margins < session.task.margins.of(forget.losses)
    assert falls.any()
    for aim, before in zip(aims.of_moved[falls], now[falls], strict=True):
        assert np.isclose(np.minimum(unseen, before), aim, atol=1e-4).all(1).any()
    assert (aims.of_moved <= now + 1e-9).all()


def test_both_terms_go_to_their_targets(home: Path, tmp_path: Path) -> None:
    session, file, forget = opened(home)
    aims = aims_of(session, file, forget)
    unlearn(home, tmp_path / "new")
    before, after = (margins_by_term(home, model, forget) for model in (home / "model", tmp_path / "new"))
    for term in range(2):
        goal = aims.of_moved[:, term]
        left, whole = np.abs(after[:, term] - goal).sum(), np.abs(before[:, term] - goal).sum()
        assert left < 0.5 * whole


def test_in_many_blocks_of_parameters_the_step_is_the_same(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = unlearn(home, tmp_path / "whole")
    monkeypatch.setattr(blocked_rows, "MOST_BYTES", 1)
    other = unlearn(home, tmp_path / "blocks")
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-5), name


def test_statistics_without_terms_give_one_target_for_the_whole_loss(home: Path, tmp_path: Path) -> None:
    session, file, forget = opened(home)
    aims: Aims = aims_of(session, replace(file, holdout_terms=None), forget)
    assert list(aims.moved) == [session.task]
    assert np.array_equal(aims.of_moved[:, 0], aims.margins)
    found = read_artifact(home / "fisher")
    record = {key: one for key, one in found.record.items() if key not in {"sha256", "format", "version"}}
    tensors = {name: tensor for name, tensor in found.tensors.items() if name != "holdout_terms"}
    write_artifact(tmp_path / "old", record.pop("kind"), record, tensors, force=False)
    one, other = unlearn(home, tmp_path / "new"), unlearn(home, tmp_path / "older", tmp_path / "old")
    assert any(not torch.equal(one[name], other[name]) for name in one)
    whole = unlearn(home, tmp_path / "whole", more="terms = false\n")
    assert [name for name in whole if not torch.equal(whole[name], other[name])] == []


def test_unseen_answers_are_known_by_terms_at_present_too(home: Path) -> None:
    session, file, forget = opened(home)
    aiming = aiming_of(session, file, forget)
    at_present = aiming.at_present(session.encode(session.read(str(home / "dev.jsonl"))))
    assert np.allclose(at_present.of_moved, aims_of(session, file, forget).of_moved, atol=1e-4)
    assert list(at_present.moved) == list(session.task.terms)


def test_another_number_of_terms_is_refused(home: Path) -> None:
    session, file, forget = opened(home)
    with pytest.raises(ArtifactError, match=r"3 terms of each held-out loss, expected 2"):
        aims_of(session, replace(file, holdout_terms=np.zeros((DEV, 3))), forget)
