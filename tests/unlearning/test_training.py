from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError
from speu_cli.tasks.base import Task
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.regression import Regression
from speu_cli.unlearning.training import TrainingSettings, fine_tune
from tiny import tiny_model, tiny_rows, tiny_tokenizer

T = TypeVar("T")

SETTINGS = TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=4)
of_every_task = pytest.mark.parametrize("task", [Classification(), Regression()], ids=lambda task: task.name)


def make(task: Task, *, dropout: bool = False) -> tuple[PreTrainedModel, Encoded]:
    outputs = 1 if task.name == "regression" else 3
    model = tiny_model("bert", outputs=outputs)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and not dropout:
            module.p = 0.0
    rows = tiny_rows(6, outputs=outputs)
    examples = Examples(
        [Example(row["id"], row["text"], None, row["label"]) for row in rows],
        source="rows",
        columns=Columns(id="id", text="text", text_pair=None, label="label"),
    )
    return model, encode(examples, tiny_tokenizer("bert"), task, model, 16)


def weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def mean_loss(model: PreTrainedModel, task: Task, encoded: Encoded) -> Tensor:
    inputs, labels = encoded.collate(range(len(encoded)))
    return task.losses(model(**inputs).logits, labels).mean()


@of_every_task
def test_it_learns_the_examples_by_heart(task: Task) -> None:
    model, encoded = make(task)
    settings = TrainingSettings(epochs=60, learning_rate=1e-2, batch_size=3)
    assert fine_tune(model, task, encoded, settings) == 120
    assert mean_loss(model, task, encoded) < 0.05


@of_every_task
def test_one_step_is_the_step_of_adamw_on_the_mean_of_the_losses(task: Task) -> None:
    model, encoded = make(task)
    before = weights(model)
    model.requires_grad_(True)
    mean_loss(model, task, encoded).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    fine_tune(model, task, encoded, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=6))
    for name, after in weights(model).items():
        gradient = gradients[name]
        # In the first step of Adam both moments are those of this gradient alone.
        step = torch.zeros_like(after) if gradient is None else gradient / (gradient.abs() + 1e-8)
        clear = torch.ones_like(after, dtype=torch.bool) if gradient is None else gradient.abs() > 1e-5
        torch.testing.assert_close(after[clear], (before[name] - 1e-3 * step)[clear], rtol=1e-4, atol=1e-6)


def test_without_weight_decay_a_word_that_is_not_read_keeps_its_embedding() -> None:
    model, encoded = make(Classification())
    read = {token for row in encoded.rows for token in row["input_ids"]}
    unread = [token for token in range(model.config.vocab_size) if token not in read]
    embeddings = model.get_input_embeddings().weight
    before = embeddings.detach().clone()
    fine_tune(model, Classification(), encoded, SETTINGS)
    assert torch.equal(embeddings[unread], before[unread])
    assert not torch.equal(embeddings, before)


def test_the_same_seed_gives_the_same_weights() -> None:
    runs = []
    for seed in (1, 1, 2):
        model, encoded = make(Classification(), dropout=True)
        settings = TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=2, seed=seed)
        fine_tune(model, Classification(), encoded, settings)
        runs.append(weights(model))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert any(not torch.equal(runs[0][name], runs[2][name]) for name in runs[0])


def test_the_model_is_left_ready_for_use_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, encoded = make(Classification())
    fine_tune(model, Classification(), encoded, SETTINGS)
    assert not model.training
    assert all(not one.requires_grad and one.grad is None for one in model.parameters())
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


class Record:
    """A progress that keeps what it is told."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.told: list[tuple[str, int]] = []
        self.steps = 0
        self.ended = False
        self.stop_after = stop_after

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        self.told.append((description, total))
        try:
            for item in items:
                yield item
                self.steps += 1
                if self.steps == self.stop_after:
                    raise KeyboardInterrupt
        finally:
            self.ended = True

    def note(self, message: str) -> None:
        raise AssertionError(message)


def test_every_step_is_told() -> None:
    model, encoded = make(Classification())
    progress = Record()
    steps = fine_tune(model, Classification(), encoded, SETTINGS, progress=progress)
    assert progress.told == [("training", steps)]
    assert progress.steps == steps == 4
    assert progress.ended


def test_an_interrupted_training_ends_its_progress() -> None:
    model, encoded = make(Classification())
    progress = Record(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, Classification(), encoded, SETTINGS, progress=progress)
    assert progress.ended


def test_a_diverging_training_is_refused() -> None:
    model, encoded = make(Regression())
    settings = TrainingSettings(epochs=3, learning_rate=1e30, batch_size=2)
    with pytest.raises(InputError, match="diverged") as caught:
        fine_tune(model, Regression(), encoded, settings)
    assert "1e+30" in str(caught.value.hint)
