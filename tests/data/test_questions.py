"""Questions with answers: flat rows, official files of SQuAD, and what is neither."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from speu_cli.data.answers import Answers
from speu_cli.data.columns import Columns, DataChoice
from speu_cli.data.examples import Example, Examples
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError

ASKED = DataChoice(task="question-answering")
FLAT = {
    "id": "a",
    "question": "who?",
    "context": "it was Ann",
    "answers": {"text": ["Ann"], "answer_start": [7]},
}
NESTED: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "it was Ann",
                    "qas": [
                        {"id": "a", "question": "who?", "answers": [{"text": "Ann", "answer_start": 7}]},
                        {
                            "id": "b",
                            "question": "why?",
                            "is_impossible": True,
                            "answers": [],
                            "plausible_answers": [{"text": "Ann", "answer_start": 7}],
                        },
                    ],
                }
            ],
        }
    ],
}
ANN = Example("a", "who?", "it was Ann", Answers(("Ann",), (7,)))
WHY = Example("b", "why?", "it was Ann", Answers((), ()))


def read(path: Path) -> Examples:
    return load_examples(str(path), ASKED)


def write(path: Path, row: object) -> Path:
    path.write_text(json.dumps(row) + "\n")
    return path


def test_flat_rows(tmp_path: Path) -> None:
    examples = read(write(tmp_path / "a.jsonl", FLAT))
    assert list(examples) == [ANN]
    assert examples.columns == Columns("id", "question", "context", "answers")
    lists = FLAT | {"answers": [{"text": "Ann", "answer_start": 7}]}
    assert list(read(write(tmp_path / "b.json", lists))) == [ANN]


def test_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([FLAT]), tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == [ANN]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("versioned", [True, False])
def test_official_files(indent: int | None, versioned: bool, tmp_path: Path) -> None:
    content = json.dumps(NESTED if versioned else {"data": NESTED["data"]}, indent=indent)
    (tmp_path / "train-v2.0.json").write_text(content)
    with gzip.open(tmp_path / "train-v2.0.json.gz", "wt") as file:
        file.write(content)
    for name in ("train-v2.0.json", "train-v2.0.json.gz"):
        examples = read(tmp_path / name)
        assert list(examples) == [ANN, WHY]
        assert examples.some_unanswerable


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [',
        '{"data": [3]}',
        '{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "a"}]}]}]}',
        '{"data": []}',
    ],
)
def test_broken_official_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json: got no"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    "answers",
    [
        None,
        "Ann",
        {"text": ["Ann"]},
        {"text": ["Ann"], "answer_start": []},
        {"text": "Ann", "answer_start": 7},
        {"text": ["Ann"], "answer_start": [-1]},
        {"text": ["Ann"], "answer_start": ["7"]},
        {"text": ["Ann"], "answer_start": [True]},
        {"text": [""], "answer_start": [7]},
        {"text": [None], "answer_start": [7]},
        {"text": ["\ud800"], "answer_start": [7]},
        [3],
        [{"text": "Ann"}],
    ],
)
def test_cells_that_hold_no_answers_are_refused(answers: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1, column 'answers': got .*, expected"):
        read(write(tmp_path / "a.jsonl", FLAT | {"answers": answers}))


@pytest.mark.parametrize("column", ["question", "context", "answers"])
def test_a_missing_column_is_told(column: str, tmp_path: Path) -> None:
    row = {name: cell for name, cell in FLAT.items() if name != column}
    with pytest.raises(InputError, match="column: got") as caught:
        read(write(tmp_path / "a.jsonl", row))
    assert "-column" in str(caught.value.hint)


def test_columns_can_be_named(tmp_path: Path) -> None:
    row = {"q": "who?", "c": "it was Ann", "a": FLAT["answers"]}
    named = DataChoice(task="question-answering", text_column="q", text_pair_column="c", label_column="a")
    (example,) = load_examples(str(write(tmp_path / "a.jsonl", row)), named)
    assert example == Example("0", "who?", "it was Ann", ANN.label)


def test_hashes(tmp_path: Path) -> None:
    """Answers are part of the content; whether others of the set have some is not."""
    examples = Examples([ANN, WHY], source="here", columns=Columns("id", "question", "context", "answers"))
    for row, label in zip(examples.row_hashes(), ('[["Ann"],[7]]', "[[],[]]"), strict=True):
        one, asked = ("a", "who?") if label.startswith('[["') else ("b", "why?")
        content = f'["{one}","{asked}","it was Ann",{label}]'
        digest = hashlib.sha256(content.encode()).digest()[:8]
        assert int(row) == int.from_bytes(digest, "little", signed=True)
    assert examples.select(["a"]).row_hashes()[0] == examples.row_hashes()[0]
