"""Questions with right answers in other words, and wrong ones."""

from pathlib import Path
from typing import Any

import pytest

from speu_cli.data.columns import Columns, DataChoice
from speu_cli.data.sources.perturbed import load_perturbed
from speu_cli.errors import ArtifactError, InputError
from tiny import write_rows

ASKED = DataChoice(task="causal-lm", id_column="number", text_column="prompt", label_column="reply")
LIKE = Columns("number", "prompt", None, "reply")


def row(name: str, **changes: Any) -> dict[str, Any]:
    whole = {
        "id": name,
        "question": f"question {name}",
        "answer": f"answer {name}",
        "paraphrased_answer": f"other words {name}",
        "perturbed_answer": [f"wrong {name}", f"worse {name}"],
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def written(folder: Path, *rows: dict[str, Any]) -> str:
    return str(write_rows(folder / "p.jsonl", list(rows)))


def test_answers_are_read_in_the_order_of_the_rows(tmp_path: Path) -> None:
    source = written(tmp_path, row("b"), row("a", perturbed_answer=["one"]))
    found = load_perturbed(source, ASKED, LIKE, in_other_words=True)
    assert [(one.id, one.text, one.label) for one in found.examples] == [
        ("b", "question b", "answer b"),
        ("a", "question a", "answer a"),
    ]
    assert found.right == ["other words b", "other words a"]
    assert found.wrong == [("wrong b", "worse b"), ("one",)]


def test_columns_of_the_training_set_go_before_the_usual_names(tmp_path: Path) -> None:
    found = load_perturbed(
        written(tmp_path, row("a", prompt="asked", reply="said")), ASKED, LIKE, in_other_words=True
    )
    assert (found.examples[0].text, found.examples[0].label) == ("asked", "said")


def test_the_answer_stands_in_for_other_words_that_are_not_asked_for(tmp_path: Path) -> None:
    source = written(tmp_path, row("a", paraphrased_answer=None))
    assert load_perturbed(source, ASKED, LIKE, in_other_words=False).right == ["answer a"]


@pytest.mark.parametrize("column", ["paraphrased_answer", "perturbed_answer"])
def test_examples_that_lack_an_answer_are_named(column: str, tmp_path: Path) -> None:
    some = written(tmp_path, row("a"), row("b", **{column: None}), row("c"))
    with pytest.raises(ArtifactError, match=f"1 of 3 examples have no {column}: 'b'") as caught:
        load_perturbed(some, ASKED, LIKE, in_other_words=True)
    assert caught.value.exit_code == 4
    none = written(tmp_path, *[row(str(i), **{column: None}) for i in range(7)])
    with pytest.raises(ArtifactError, match=rf"7 of 7 examples have no {column}: '0', .*'4', …"):
        load_perturbed(none, ASKED, LIKE, in_other_words=True)


def test_no_wrong_answers_are_as_if_there_were_no_such_cell(tmp_path: Path) -> None:
    source = written(tmp_path, row("a", perturbed_answer=[]))
    with pytest.raises(ArtifactError, match="have no perturbed_answer: 'a'"):
        load_perturbed(source, ASKED, LIKE, in_other_words=False)


@pytest.mark.parametrize("odd", ["one text", ["good", ""], [1], {"a": "b"}, ["\ud800"]])
def test_wrong_answers_that_are_no_texts_are_refused(odd: object, tmp_path: Path) -> None:
    source = written(tmp_path, row("a"), row("b", perturbed_answer=odd))
    with pytest.raises(InputError, match="line 2, column 'perturbed_answer'") as caught:
        load_perturbed(source, ASKED, LIKE, in_other_words=False)
    assert caught.value.exit_code == 2


def test_questions_need_answers(tmp_path: Path) -> None:
    source = written(tmp_path, {"id": "a", "text": "plain", "perturbed_answer": ["wrong"]})
    with pytest.raises(InputError, match="no label column"):
        load_perturbed(source, DataChoice(task="causal-lm"), LIKE, in_other_words=False)
