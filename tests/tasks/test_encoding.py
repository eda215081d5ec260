"""Examples as tensors, and a forward pass over them in any order of batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laws import make_case
from speu_cli.data.columns import Columns, DataChoice
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import ArtifactError, InputError
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.outcomes import losses, outcomes
from speu_cli.tasks.registry import find_task
from speu_cli.tasks.settings import EncodingSettings, merge_choice
from tiny import FAMILIES, tiny_model, tiny_tokenizer

SETTINGS = EncodingSettings("classification", 32, Columns("id", "text", None, "label"))


def examples_of(*examples: Example) -> Examples:
    return Examples(examples, source="here", columns=SETTINGS.columns)


def test_pads_on_the_right_with_the_tokenizers_own_values() -> None:
    model, tokenizer = tiny_model("roberta"), tiny_tokenizer("roberta")
    examples = examples_of(Example("a", "word1 word2 word3", None, 0), Example("b", "word4", None, 1))
    encoded = encode(examples, tokenizer, find_task(model.config), model, 32)
    inputs, labels = encoded.collate([1, 0])
    assert inputs["input_ids"].tolist() == [[0, 8, 2, 1, 1], [0, 5, 6, 7, 2]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert labels.tolist() == [1, 0]


def test_passes_only_inputs_that_the_model_knows() -> None:
    tokenizer = tiny_tokenizer("bert")
    example = examples_of(Example("a", "word1", None, 0))
    for family, expected in (("bert", True), ("distilbert", False)):
        model = tiny_model(family)
        encoded = encode(example, tokenizer, find_task(model.config), model, 32)
        assert ("token_type_ids" in encoded.padding) is expected


def test_cuts_long_inputs() -> None:
    model = tiny_model("bert")
    example = examples_of(Example("a", " ".join(["word1"] * 50), None, 0))
    assert encode(example, tiny_tokenizer("bert"), find_task(model.config), model, 8).lengths == [8]


def test_refuses_a_mixture_of_pairs_and_single_texts() -> None:
    model = tiny_model("bert")
    examples = examples_of(Example("a", "word1", "word2", 0), Example("b", "word1", None, 0))
    with pytest.raises(InputError, match="1 of 2 examples have a text pair"):
        encode(examples, tiny_tokenizer("bert"), find_task(model.config), model, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_outcomes_do_not_depend_on_the_batches(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, outputs=3)
    one_by_one, together = (
        outcomes(case.model, case.task, case.encoded, batch_tokens=size) for size in (1, 10_000)
    )
    assert np.allclose(one_by_one.losses, together.losses, rtol=1e-10)
    alone = losses(case.model, case.task, case.encoded, batch_tokens=10_000)
    assert np.array_equal(alone, together.losses)
    assert np.allclose(one_by_one.confidences, together.confidences, rtol=1e-10)
    assert np.array_equal(one_by_one.answers["predictions"], together.answers["predictions"])
    assert np.array_equal(together.answers["labels"], case.encoded.labels.numpy())
    logits = case.model(**case.encoded.collate([5])[0]).logits
    assert torch.equal(logits.argmax(-1).double(), torch.tensor([together.answers["predictions"][5]]))


def test_recorded_settings_are_taken_and_conflicts_refused() -> None:
    assert merge_choice(DataChoice(), None, "file") == DataChoice()
    assert merge_choice(DataChoice(max_length=32), SETTINGS, "file") == SETTINGS.data_choice()
    assert merge_choice(DataChoice(split="train"), SETTINGS, "file").split == "train"
    for asked in (DataChoice(max_length=16), DataChoice(text_column="body"), DataChoice(task="regression")):
        with pytest.raises(ArtifactError, match="but file was made with"):
            merge_choice(asked, SETTINGS, "file")


def test_settings_survive_their_record() -> None:
    assert EncodingSettings.from_record(SETTINGS.to_record()) == SETTINGS
    pairs = replace(SETTINGS, columns=Columns(None, "a", "b", "c"))
    assert EncodingSettings.from_record(pairs.to_record()) == pairs
    assert SETTINGS.to_record().keys() == {"task", "max_length", "columns"}
    whole = replace(SETTINGS, doc_stride=12, template="abc")
    assert EncodingSettings.from_record(whole.to_record()) == whole
    with pytest.raises(ArtifactError, match="not readable"):
        EncodingSettings.from_record({"task": "classification"})


def test_another_template_is_refused() -> None:
    settings = replace(SETTINGS, task="causal-lm", template="abc")
    settings.require_template("abc", "file")
    for other in (None, "def"):
        with pytest.raises(ArtifactError, match="file was made with another chat template: sha256 abc"):
            settings.require_template(other, "file")
    assert settings.data_choice().chat_template is True
    assert replace(settings, template=None).data_choice().chat_template is False
    assert SETTINGS.data_choice().chat_template is None
