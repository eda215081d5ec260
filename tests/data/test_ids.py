import io
import sys
from pathlib import Path

import pytest

from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.errors import InputError

EXAMPLES = Examples(
    [Example(one, "text", None, 0) for one in "abcd"],
    source="d.jsonl",
    columns=Columns("id", "text", None, "label"),
)


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        "b\n7\nä x\n",
        "b\r\n\r\n 7 \r\nä x",
        '["b", 7, "ä x"]',
        ' \n[\n"b",\n"7", "\\u00e4 x"]\n',
        "\ufeffb\n7\nä x\n",
        '\ufeff["b", 7, "ä x"]',
    ],
)
def test_lines_and_json(tmp_path: Path, content: str) -> None:
    assert read_ids(write(tmp_path / "ids.txt", content)) == ["b", "7", "ä x"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("b\nä\n".encode()), encoding="ascii"))
    assert read_ids("-") == ["b", "ä"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ids.txt: got no ids, expected at least one"),
        (" \n\n", "ids.txt: got no ids, expected at least one"),
        ("[]", "ids.txt: got no ids, expected at least one"),
        ("a\n\nb\na\n", "ids.txt: id 'a' is there twice, in lines 1 and 4, expected every id once"),
        ('["7", 7]', "ids.txt: id '7' is there twice, in entries 0 and 1 (from 0), expected every id once"),
        ('["a", null]', "ids.txt, entry 1 (from 0): got null, expected a non-empty text or a whole number"),
        ("[true]", "ids.txt, entry 0 (from 0): got true, expected a non-empty text or a whole number"),
        ("[1.5]", "ids.txt, entry 0 (from 0): got 1.5, expected a non-empty text or a whole number"),
        ('[" "]', 'ids.txt, entry 0 (from 0): got " ", expected a non-empty text or a whole number'),
        (b"a\nb\nc\xe9\n", "ids.txt, line 3: got bytes that are not UTF-8, expected ids"),
    ],
)
def test_a_bad_list_is_refused(tmp_path: Path, content: bytes | str, message: str) -> None:
    source = write(tmp_path / "ids.txt", content)
    with pytest.raises(InputError) as caught:
        read_ids(source)
    assert str(caught.value).replace(source, "ids.txt") == message


@pytest.mark.parametrize("content", ['["a",', "[a]", "[" * 100_000, "[" + "9" * 5000 + "]"])
def test_bad_json_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"ids\.txt: got bad JSON \(.*\), expected a list of ids$"):
        read_ids(write(tmp_path / "ids.txt", content))


def test_a_list_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cannot be read: no such file or directory$"):
        read_ids(str(tmp_path / "ids.txt"))
    with pytest.raises(InputError, match=r"cannot be read: is a directory$"):
        read_ids(str(tmp_path))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=r"^standard input: cannot be read: it is closed$"):
        read_ids("-")


def test_both_sets_are_in_the_order_of_the_data() -> None:
    forget, remaining = forget_and_remaining(EXAMPLES, ["d", "b"], "ids.txt")
    assert forget.ids == ["b", "d"]
    assert remaining.ids == ["a", "c"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "ids.txt: got no ids, expected at least one"),
        (["a", "x", "y"], "ids.txt: 2 of 3 ids are not in d.jsonl: 'x', 'y'"),
        (["a", "a"], "ids.txt: id 'a' is there twice, expected every id once"),
        (["d", "c", "b", "a"], "ids.txt: got all 4 ids of d.jsonl, expected some examples to remain"),
    ],
)
def test_a_request_that_cannot_be_served(ids: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        forget_and_remaining(EXAMPLES, ids, "ids.txt")
    assert str(caught.value) == message


def test_standard_input_is_named_in_words() -> None:
    with pytest.raises(InputError, match=r"^standard input: 1 of 1 ids are not in d\.jsonl: 'x'$"):
        forget_and_remaining(EXAMPLES, ["x"], "-")
