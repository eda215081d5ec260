"""Training on a few examples against AdamW written out."""

import pytest
import torch
from transformers import PreTrainedModel

from oracles.attacks import relearnt
from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.tasks.base import Task
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.regression import Regression
from speu_cli.unlearning.relearning import RelearningSettings, relearn, shown_by_default, stops
from tiny import tiny_model, tiny_rows, tiny_tokenizer


def make(task: Task) -> tuple[PreTrainedModel, Encoded]:
    outputs = 1 if task.name == "regression" else 2
    model = tiny_model("bert", outputs=outputs).to(torch.float64)
    columns = Columns(id="id", text="text", text_pair=None, label="label")
    rows = [Example(row["id"], row["text"], None, row["label"]) for row in tiny_rows(5, outputs=outputs)]
    examples = Examples(rows, source="rows", columns=columns)
    return model, encode(examples, tiny_tokenizer("bert"), task, model, 16)


def loss_of(model: PreTrainedModel, task: Task, encoded: Encoded, position: int) -> torch.Tensor:
    inputs, labels = encoded.collate([position])
    return task.losses(model(**inputs).logits, labels)[0]


@pytest.mark.parametrize("task", [Classification(), Regression()], ids=lambda task: task.name)
@pytest.mark.parametrize("batch_tokens", [1, 2048])
def test_it_is_adamw_written_out(task: Task, batch_tokens: int) -> None:
    """Tight, however the examples are batched; also where no dropout is said to be off: bert has 0.1."""
    model, encoded = make(task)
    expected, _ = make(task)
    settings = RelearningSettings(3, learning_rate=1e-3)
    done = [*relearn(model, task, encoded, settings, batch_tokens=batch_tokens)]
    assert done == [0, 1, 2, 3]
    relearnt(
        expected,
        lambda position: loss_of(expected, task, encoded, position),
        range(len(encoded)),
        steps=3,
        rate=1e-3,
    )
    theirs = dict(expected.named_parameters())
    start = dict(tiny_model("bert", outputs=model.config.num_labels).named_parameters())
    for name, mine in model.named_parameters():
        # Gradients that are zero but for rounding decide nothing but signs of Adam's steps.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(mine, theirs[name], rtol=0, atol=1e-8, msg=name)
    assert any(not torch.equal(start[name].double(), one) for name, one in model.named_parameters())


def test_the_model_is_left_without_gradients_also_when_nobody_listens_on() -> None:
    model, encoded = make(Classification())
    steps = relearn(model, Classification(), encoded, RelearningSettings(9), batch_tokens=2048)
    assert [next(steps), next(steps), next(steps)] == [0, 1, 2]
    steps.close()
    assert not model.training
    assert all(one.grad is None and not one.requires_grad for one in model.parameters())


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [0, 1]), (2, [0, 1, 2]), (8, [0, 1, 2, 4, 8]), (11, [0, 1, 2, 4, 8, 11])]
)
def test_it_stops_at_powers_of_two_and_at_the_end(steps: int, expected: list[int]) -> None:
    assert stops(steps) == expected


@pytest.mark.parametrize(("forgotten", "shown"), [(2, 1), (5, 2), (16, 8), (64, 8), (100, 10), (1000, 100)])
def test_a_tenth_is_shown_at_least_eight_at_most_half(forgotten: int, shown: int) -> None:
    assert shown_by_default(forgotten) == shown
