"""Labels, losses, predictions and confidences, and which task a model has."""

from typing import Any

import pytest
import torch
from transformers import BertConfig

from speu_cli.data.examples import Example
from speu_cli.errors import ArtifactError, InputError
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.registry import find_task
from speu_cli.tasks.regression import Regression

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]], dtype=torch.float64)
NAMED = BertConfig(id2label={0: "sad", 1: "fine", 2: "glad"}, label2id={"sad": 0, "fine": 1, "glad": 2})


def example(label: Any) -> Example:
    return Example("x", "some text", None, label)


def test_cross_entropy_and_confidence_belong_to_each_example() -> None:
    task, labels = Classification(), torch.tensor([0, 2])
    probabilities = LOGITS.exp() / LOGITS.exp().sum(-1, keepdim=True)
    of_truth = probabilities[[0, 1], labels]
    assert torch.allclose(task.losses(LOGITS, labels), -of_truth.log())
    assert torch.allclose(task.confidences(LOGITS, labels), of_truth)
    assert task.predictions(LOGITS)[0] == 0


def test_squared_error_and_its_negative() -> None:
    task, logits = Regression(), torch.tensor([[1.5], [-2.0]])
    assert task.losses(logits, torch.tensor([1.0, 1.0])).tolist() == [0.25, 9.0]
    assert task.confidences(logits, torch.tensor([1.0, 1.0])).tolist() == [-0.25, -9.0]
    assert task.predictions(logits).tolist() == [1.5, -2.0]


def test_labels_by_number_and_by_name() -> None:
    labels = Classification().labels([example(2), example("sad"), example(1.0)], NAMED)
    assert labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("label", [3, -1, 0.5, "angry", "1"])
def test_a_label_outside_the_models_is_refused_by_name(label: Any) -> None:
    with pytest.raises(InputError, match=r"'x' has label .* sad, fine, glad"):
        Classification().labels([example(label)], NAMED)


@pytest.mark.parametrize("label", ["good", float("inf"), float("nan")])
def test_a_score_must_be_a_finite_number(label: Any) -> None:
    with pytest.raises(InputError, match="expected a finite number"):
        Regression().labels([example(label)], BertConfig(num_labels=1))


def test_the_task_follows_from_the_number_of_outputs() -> None:
    assert find_task(BertConfig(num_labels=1)).name == "regression"
    assert find_task(BertConfig(num_labels=3)).name == "classification"
    assert find_task(BertConfig(num_labels=3), "classification").name == "classification"


def test_a_task_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit a model with 3 outputs"):
        find_task(BertConfig(num_labels=3), "regression")
    with pytest.raises(InputError, match="expected one of classification, regression"):
        find_task(BertConfig(num_labels=3), "translation")
    with pytest.raises(ArtifactError, match="multi-label"):
        find_task(BertConfig(num_labels=3, problem_type="multi_label_classification"))
