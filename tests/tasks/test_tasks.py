"""Labels, losses, predictions and confidences, and which task a model has."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, GPT2Config, LlamaConfig, PretrainedConfig, ViTConfig

from speu_cli.checkpoints.heads import head_of
from speu_cli.data.examples import Example
from speu_cli.errors import ArtifactError, InputError
from speu_cli.tasks.classification import Classification
from speu_cli.tasks.registry import TASKS, find_task
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


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BertConfig(architectures=["BertForQuestionAnswering"]), "question-answering"),
        (LlamaConfig(architectures=["LlamaForCausalLM"]), "causal-lm"),
        (GPT2Config(architectures=["GPT2LMHeadModel"]), "causal-lm"),
        (BertConfig(architectures=["BertLMHeadModel"], is_decoder=True), "causal-lm"),
        (ViTConfig(architectures=["ViTForImageClassification"]), "image-classification"),
        (BertConfig(architectures=["BertForSequenceClassification"]), "classification"),
        (BertConfig(architectures=["BertModel"]), "classification"),
        (BertConfig(architectures=["Another"]), "classification"),
    ],
)
def test_the_task_follows_from_the_class(config: PretrainedConfig, expected: str) -> None:
    assert find_task(config).name == find_task(config, expected).name == expected
    for name in TASKS.keys() - {expected, "regression", "classification"}:
        if head_of(config) is not None:
            with pytest.raises(InputError, match=f"which is {expected}"):
                find_task(config, name)


@pytest.mark.parametrize("names", [5, "BertForQuestionAnswering", [5], [None], []])
def test_names_of_no_class_name_no_head(names: object) -> None:
    assert head_of(SimpleNamespace(architectures=names)) is None  # type: ignore[arg-type]


def test_an_encoder_is_no_language_model() -> None:
    with pytest.raises(ArtifactError, match="a bert encoder, which sees the tokens"):
        find_task(BertConfig(architectures=["BertLMHeadModel"]))


def test_sizes_of_one_term_and_of_none() -> None:
    assert Classification().sizes(torch.tensor([4, 2])).tolist() == [1, 1]
    with pytest.raises(InputError, match="regression has no likelihood"):
        Regression().sizes(torch.tensor([1.0]))


def test_a_task_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit a model with 3 outputs"):
        find_task(BertConfig(num_labels=3), "regression")
    with pytest.raises(InputError, match="expected one of classification, regression"):
        find_task(BertConfig(num_labels=3), "translation")
    with pytest.raises(ArtifactError, match="multi-label"):
        find_task(BertConfig(num_labels=3, problem_type="multi_label_classification"))
