"""Reference log-likelihoods and other answers: what they are, and what they are bound to."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from laws import Case, make_case
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from speu_cli.tasks.classification import Classification
from speu_cli.unlearning.other_answers import OtherAnswers, read_answers
from speu_cli.unlearning.reference import (
    ReferenceOrigin,
    log_likelihoods,
    read_reference,
    write_reference,
)

ORIGIN = ReferenceOrigin(
    ModelIdentity("Bert", "weights", "config", "tokenizer"), {"task": "text", "max_length": 9}, "answers"
)
ROWS = torch.tensor([7, -3, 11])
VALUES = {"forget": torch.tensor([-1.0, -2.0, -3.0]), "answers": torch.tensor([-4.0, -5.0, -6.0])}


class Longer(Classification):
    """ℓ is the mean over as many terms as the number of the class says."""

    def sizes(self, labels: Tensor) -> Tensor:
        return 3.0 + labels


def test_they_are_sums_over_the_terms_whatever_the_batches(tmp_path: Path) -> None:
    case: Case = make_case(tmp_path)
    inputs, labels = case.encoded.collate(range(len(case.encoded)))
    with torch.no_grad():
        chosen = case.model(**inputs).logits.log_softmax(-1).gather(-1, labels[:, None])[:, 0]
    expected = (chosen * (3.0 + labels)).float()
    for batch_tokens in (10, 1000):
        found = log_likelihoods(case.model, Longer(), case.encoded, batch_tokens=batch_tokens)
        torch.testing.assert_close(found, expected)


def test_they_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    digest = write_reference(tmp_path / "file", VALUES, ROWS, ORIGIN)
    reference = read_reference(tmp_path / "file", torch.tensor([11, 7]), ORIGIN)
    assert reference.digest == digest
    assert reference.values["forget"].tolist() == [-3.0, -1.0]
    assert reference.values["answers"].tolist() == [-6.0, -4.0]
    only_forget = read_reference(tmp_path / "file", ROWS, replace(ORIGIN, answers=None))
    assert set(only_forget.values) == {"forget"}


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    write_reference(tmp_path / "file", VALUES, ROWS, ORIGIN)
    with pytest.raises(OutputExistsError):
        write_reference(tmp_path / "file", VALUES, ROWS, ORIGIN)


@pytest.mark.parametrize(
    ("origin", "rows", "told"),
    [
        (replace(ORIGIN, model=replace(ORIGIN.model, weights="x")), ROWS, "another model"),
        (replace(ORIGIN, encoding={"task": "text", "max_length": 8}), ROWS, "encoding: max_length"),
        (replace(ORIGIN, encoding={"task": "text"}), ROWS, "more settings"),
        (replace(ORIGIN, answers="others"), ROWS, "another list of answers"),
        (ORIGIN, torch.tensor([7, 8]), "lacks 1 of the 2"),
    ],
)
def test_what_belongs_to_something_else_is_refused(
    origin: ReferenceOrigin, rows: Tensor, told: str, tmp_path: Path
) -> None:
    write_reference(tmp_path / "file", VALUES, ROWS, ORIGIN)
    with pytest.raises(ArtifactError, match=told) as caught:
        read_reference(tmp_path / "file", rows, origin)
    assert caught.value.exit_code == 4


def test_a_reference_without_answers_is_no_good_where_they_are_needed(tmp_path: Path) -> None:
    write_reference(tmp_path / "file", {"forget": VALUES["forget"]}, ROWS, replace(ORIGIN, answers=None))
    with pytest.raises(ArtifactError, match=r"no other answers|not a complete"):
        read_reference(tmp_path / "file", ROWS, ORIGIN)


@pytest.mark.parametrize("lost", ["rows", "log_likelihoods/forget"])
def test_an_incomplete_file_is_refused(lost: str, tmp_path: Path) -> None:
    write_reference(tmp_path / "file", VALUES, ROWS, ORIGIN)
    artifact = read_artifact(tmp_path / "file")
    record = {
        key: value
        for key, value in artifact.record.items()
        if key not in {"format", "version", "kind", "sha256"}
    }
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if name != lost}
    write_artifact(tmp_path / "lost", "reference", record, tensors, force=False)
    with pytest.raises(ArtifactError, match="not a complete reference"):
        read_reference(tmp_path / "lost", ROWS, ORIGIN)


def test_values_of_other_lengths_are_refused(tmp_path: Path) -> None:
    write_reference(tmp_path / "file", {**VALUES, "forget": VALUES["forget"][:1]}, ROWS, ORIGIN)
    with pytest.raises(ArtifactError, match="not a complete reference"):
        read_reference(tmp_path / "file", ROWS, ORIGIN)


def examples(count: int) -> Examples:
    rows = [Example(str(number), f"question {number}", None, f"answer {number}") for number in range(count)]
    return Examples(rows, source="rows", columns=Columns("id", "text", None, "label"))


def test_an_example_always_gets_the_same_other_answer() -> None:
    answers = OtherAnswers()
    given = answers.given_to(examples(40))
    assert [one.text for one in given] == [one.text for one in examples(40)]
    assert {one.label for one in given} <= set(answers.texts)
    assert len({one.label for one in given}) > 5
    fewer = answers.given_to(examples(40).select(["30", "3"]))
    assert [one.label for one in fewer] == [given[30].label, given[3].label]


def test_answers_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text("No idea.\n\n  Ask somebody else. \n")
    assert read_answers(path).texts == ["No idea.", "Ask somebody else."]
    assert read_answers(path).digest != OtherAnswers().digest
    path.write_text("\n")
    with pytest.raises(InputError, match="no answers"):
        read_answers(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(tmp_path / "nowhere")
