import pytest

from speu_cli.data.columns import Columns, DataChoice, find_columns
from speu_cli.errors import InputError

ASK_NOTHING = DataChoice()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["id", "text", "label"], Columns("id", "text", None, "label")),
        (["text", "label"], Columns(None, "text", None, "label")),
        (["sentence", "label", "idx"], Columns("idx", "sentence", None, "label")),
        (["sentence1", "sentence2", "score"], Columns(None, "sentence1", "sentence2", "score")),
        (["question1", "question2", "target"], Columns(None, "question1", "question2", "target")),
        (["premise", "hypothesis", "label"], Columns(None, "premise", "hypothesis", "label")),
        (["question", "sentence", "label"], Columns(None, "question", "sentence", "label")),
        (["text", "text_pair", "labels", "guid"], Columns("guid", "text", "text_pair", "labels")),
        (["question", "label"], Columns(None, "question", None, "label")),
        (["ID", "Text", "Label"], Columns("ID", "Text", None, "Label")),
        (["Text", "text", "TEXT", "label"], Columns(None, "text", None, "label")),
        (["id", "text", "label", "score"], Columns("id", "text", None, "label")),
    ],
)
def test_usual_names_are_found(names: list[str], expected: Columns) -> None:
    assert find_columns(names, ASK_NOTHING) == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (DataChoice(text_column="body"), Columns("id", "body", None, "label")),
        (DataChoice(label_column="body"), Columns("id", "text", "text_pair", "body")),
        (DataChoice(id_column="body"), Columns("body", "text", "text_pair", "label")),
        (DataChoice(text_pair_column="body"), Columns("id", "text", "body", "label")),
        (DataChoice(id_column="", text_pair_column=""), Columns(None, "text", None, "label")),
        (DataChoice(label_column="text", text_column="body"), Columns("id", "body", None, "text")),
        (DataChoice(text_column="text"), Columns("id", "text", "text_pair", "label")),
    ],
)
def test_a_chosen_column_goes_before_the_usual_names(choice: DataChoice, expected: Columns) -> None:
    assert find_columns(["id", "text", "text_pair", "label", "body"], choice) == expected


@pytest.mark.parametrize(
    ("names", "choice", "message"),
    [
        (
            ["a", "label"],
            ASK_NOTHING,
            "t.csv: no text column: got 'a', 'label', expected one of "
            "text, sentence1, question1, premise, question, sentence",
        ),
        (
            ["text"],
            ASK_NOTHING,
            "t.csv: no label column: got 'text', expected one of "
            "label, labels, score, target, gold_label, is_duplicate",
        ),
        (
            ["text", "label"],
            DataChoice(id_column="key"),
            "t.csv: no column 'key', expected one of 'text', 'label'",
        ),
        (
            ["text", "label"],
            DataChoice(text_column="text", label_column="text"),
            "t.csv: column 'text' was chosen for two uses, expected a column for each",
        ),
        (
            ["text", "label", "text"],
            ASK_NOTHING,
            "t.csv: column 'text' is there twice, expected different names",
        ),
    ],
)
def test_a_column_that_cannot_be_served_is_refused(
    names: list[str], choice: DataChoice, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        find_columns(names, choice, source="t.csv")
    assert str(caught.value) == message


def test_the_hint_names_the_option() -> None:
    with pytest.raises(InputError) as caught:
        find_columns(["text"], ASK_NOTHING)
    assert caught.value.hint == "name it with --label-column"
