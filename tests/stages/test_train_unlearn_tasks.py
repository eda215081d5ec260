"""Forgetting by training, of tasks that are not one text and one label."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_tasks import answering, modelling, pictures, prompts, save, seeing, write_prompts, write_questions

from speu_cli.artifacts.format import read_artifact
from speu_cli.data.columns import DataChoice
from speu_cli.errors import InputError
from speu_cli.stages.train_unlearn import TrainUnlearnResult, train_unlearn
from speu_cli.unlearning.training_choice import TrainingChoice
from tiny import write_ids, write_rows

SLOW = TrainingChoice(epochs=3, learning_rate=1e-3, batch_size=2)
ROWS, FORGET = 9, 3


@dataclass(frozen=True)
class Place:
    """A model with its data and a request."""

    folder: Path
    data: str
    task: str

    def forget(self, method: Any, **settings: Any) -> TrainUnlearnResult:
        return train_unlearn(
            self.folder / "model",
            self.data,
            str(self.folder / "ids.txt"),
            self.folder / method,
            method=method,
            training=SLOW,
            choice=DataChoice(task=self.task),
            **settings,
        )

    def moved(self, method: str) -> bool:
        before, after = (load_file(self.folder / one / "model.safetensors") for one in ("model", method))
        return any(not before[name].equal(after[name]) for name in before)


def writing(folder: Path) -> Place:
    save(folder / "model", modelling())
    write_ids(folder / "ids.txt", [row["id"] for row in prompts(FORGET)])
    return Place(folder, write_prompts(folder / "train.jsonl", ROWS), "causal-lm")


def asking(folder: Path) -> Place:
    save(folder / "model", answering())
    write_ids(folder / "ids.txt", [f"q-0-{number}" for number in range(FORGET)])
    return Place(folder, write_questions(folder / "train.jsonl", ROWS), "question-answering")


def looking(folder: Path) -> Place:
    save(folder / "model", seeing())
    data = pictures(folder / "train", ROWS)
    ids = sorted(str(path.relative_to(data)) for path in data.rglob("*.png"))
    write_ids(folder / "ids.txt", ids[:FORGET])
    return Place(folder, str(data), "image-classification")


@pytest.mark.parametrize("method", ["ft", "ga", "gd", "npo"])
@pytest.mark.parametrize("make", [writing, asking, looking])
def test_every_task_can_be_trained_on(make: Callable[[Path], Place], method: str, tmp_path: Path) -> None:
    place = make(tmp_path)
    result = place.forget(method)
    assert place.moved(method)
    assert result.loss_after is not None
    if method == "ga":
        assert result.loss_after > result.loss_before


def test_dpo_makes_another_answer_likelier_than_the_forgotten_one(tmp_path: Path) -> None:
    place = writing(tmp_path)
    (tmp_path / "answers.txt").write_text("word7 word8\n")
    place.forget("dpo", answers=tmp_path / "answers.txt", reference=tmp_path / "before")
    assert place.moved("dpo")
    after = Place(tmp_path / "again", place.data, place.task)
    after.folder.mkdir()
    (tmp_path / "dpo").rename(after.folder / "model")
    (tmp_path / "ids.txt").rename(after.folder / "ids.txt")
    after.forget("dpo", answers=tmp_path / "answers.txt", reference=tmp_path / "after")
    one, other = (read_artifact(tmp_path / name).tensors for name in ("before", "after"))
    names = [name for name in one if name.endswith(("forget", "answers"))]
    forget, answers = sorted(names, key=lambda name: name.endswith("answers"))
    gain = (other[answers] - other[forget]) - (one[answers] - one[forget])
    assert gain.mean() > 0


def test_texts_without_prompts_have_no_other_answer(tmp_path: Path) -> None:
    save(tmp_path / "model", modelling())
    rows = [{"id": str(number), "text": f"word{number} word1 word2"} for number in range(ROWS)]
    place = Place(tmp_path, str(write_rows(tmp_path / "train.jsonl", rows)), "causal-lm")
    write_ids(tmp_path / "ids.txt", ["0", "1"])
    with pytest.raises(InputError, match="texts without prompts"):
        place.forget("dpo")
