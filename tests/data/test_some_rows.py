import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.data.sources.some_rows import load_some
from speu_cli.errors import InputError

CHOICE = DataChoice(id_column="id", text_column="text", text_pair_column="", label_column="label")

IDS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).filter(str.strip), st.integers(-9, 9)
)
TEXTS = st.one_of(IDS.map(lambda one: json.dumps({"id": one})), st.text("ab\\\"': {}", max_size=8))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows.jsonl"


@given(st.lists(st.tuples(IDS, TEXTS), min_size=1, max_size=6, unique_by=lambda row: str(row[0])), st.data())
def test_wanted_rows_are_found_however_they_are_written(
    file: Path, rows: list[tuple[str | int, str]], data: st.DataObject
) -> None:
    written = [
        json.dumps({"nested": {"id": "x"}, "text": f"text {text}", "id": one, "label": 1}, ensure_ascii=plain)
        for (one, text), plain in zip(
            rows, data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), strict=True
        )
    ]
    file.write_text("\n\n".join(written), encoding="utf-8")
    wanted = set(data.draw(st.lists(st.sampled_from([str(one) for one, _ in rows]), min_size=1)))
    found = {one.id: one for one in load_some(str(file), CHOICE, wanted.__contains__)}
    assert found.items() <= {one.id: one for one in load_examples(str(file), CHOICE)}.items()
    assert wanted <= found.keys()


def lines(*rows: str) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        path.write_text("\n".join(rows), encoding="utf-8")
        return str(path)

    return write


GOOD = '{"id": "a", "text": "one", "label": 0}'
OTHER = '{"id": "b", "text": "two", "label": 1}'


def test_other_rows_are_not_looked_at(file: Path) -> None:
    source = lines(GOOD, '{"id": "b", "text": broken', OTHER)(file)
    assert [one.id for one in load_some(source, CHOICE, {"a"}.__contains__)] == ["a"]
    with pytest.raises(InputError, match="line 2"):
        load_some(source, CHOICE, {"b"}.__contains__)


def test_all_are_read_where_none_is_found(file: Path) -> None:
    found = load_some(lines(GOOD, OTHER)(file), CHOICE, {"c"}.__contains__)
    assert [one.id for one in found] == ["a", "b"]


def test_an_escaped_key_is_a_key(file: Path) -> None:
    source = lines(GOOD, OTHER.replace('"id"', '"\\u0069d"'))(file)
    assert [one.id for one in load_some(source, CHOICE, {"b"}.__contains__)] == ["b"]


def test_row_numbers_are_those_of_the_whole_file(file: Path) -> None:
    choice = DataChoice(id_column="", text_column="text", text_pair_column="", label_column="label")
    found = load_some(lines(GOOD, OTHER)(file), choice, {"1"}.__contains__)
    assert found.select(["1"])[0].text == "two"


def test_two_rows_with_a_wanted_id_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match="'a' is there twice"):
        load_some(lines(GOOD, OTHER, GOOD)(file), CHOICE, {"a"}.__contains__)
