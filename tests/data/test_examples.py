import hashlib
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError

COLUMNS = Columns("id", "text", None, "label")


def make(*ids: str, columns: Columns = COLUMNS) -> Examples:
    return Examples(
        [Example(one, f"text of {one}", None, 0) for one in ids], source="d.jsonl", columns=columns
    )


some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
some_example = st.builds(
    Example,
    id=some_text,
    text=some_text,
    text_pair=st.none() | some_text,
    label=st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | some_text,
)
some_rows = st.lists(some_example, unique_by=lambda row: row.id, max_size=12)


def test_it_is_a_sequence() -> None:
    examples = make("a", "b", "c")
    assert len(examples) == 3
    assert examples[1].id == "b"
    assert examples[-1].id == "c"
    assert examples[1:].ids == ["b", "c"]
    assert [row.id for row in examples] == examples.ids == ["a", "b", "c"]
    assert examples[0] in examples
    assert repr(examples) == "Examples(source='d.jsonl', n=3)"


def test_select_keeps_the_order_asked_for_and_without_that_of_the_set() -> None:
    examples = make("a", "b", "c", "d")
    assert examples.select(["d", "a"]).ids == ["d", "a"]
    assert examples.without(["c", "a"]).ids == ["b", "d"]
    assert examples.without([]).ids == examples.ids
    assert examples.select(["b"]).source == "d.jsonl"
    assert examples.select(["b"]).columns is COLUMNS
    assert examples.positions(["c", "b"]) == [2, 1]


def test_a_duplicate_id_is_refused_with_its_rows() -> None:
    with pytest.raises(InputError) as caught:
        make("a", "b", "c", "b", "c")
    assert str(caught.value) == (
        "d.jsonl: id 'b' is there twice, in rows 1 and 3 (from 0), expected every id once"
    )


@pytest.mark.parametrize("method", ["select", "without"])
def test_unknown_and_repeated_ids_are_refused(method: str) -> None:
    examples = make("a", "b")
    with pytest.raises(InputError) as unknown:
        getattr(examples, method)(["a", *"uvwxyz"])
    assert str(unknown.value) == "ids: 6 of 7 ids are not in d.jsonl: 'u', 'v', 'w', 'x', 'y', …"
    assert unknown.value.hint == "the ids of d.jsonl come from its column 'id'"
    with pytest.raises(InputError, match=r"^ids: id 'a' is there twice, expected every id once$"):
        getattr(examples, method)(["a", "b", "a"])


def test_the_hint_tells_that_ids_are_row_numbers() -> None:
    with pytest.raises(InputError) as caught:
        make("0", "1", columns=replace(COLUMNS, id=None)).select(["2"])
    assert str(caught.value) == "ids: 1 of 1 ids are not in d.jsonl: '2'"
    assert caught.value.hint == "d.jsonl has no id column: its ids are the row numbers, from 0 to 1"


def test_a_row_hash_is_that_of_the_canonical_json() -> None:
    row = Example("ä", "one\ntwo", None, 1)
    digest = hashlib.sha256(b'["\\u00e4","one\\ntwo",null,1]').digest()
    hashes = Examples([row], source="d", columns=COLUMNS).row_hashes()
    assert hashes.dtype == np.int64
    assert hashes.tolist() == [int.from_bytes(digest[:8], "little", signed=True)]


def test_no_rows_have_no_hashes() -> None:
    assert make().row_hashes().shape == (0,)


@given(some_rows, st.randoms())
def test_row_hashes_do_not_depend_on_the_order(rows: list[Example], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one = Examples(rows, source="a", columns=COLUMNS)
    other = Examples(shuffled, source="b", columns=COLUMNS)
    assert dict(zip(one.ids, one.row_hashes(), strict=True)) == dict(
        zip(other.ids, other.row_hashes(), strict=True)
    )


@given(some_example, some_example)
def test_row_hashes_are_equal_only_for_equal_content(one: Example, other: Example) -> None:
    def fields(row: Example) -> tuple[object, ...]:
        return row.id, row.text, row.text_pair, repr(row.label)  # 1 and 1.0 are different rows

    def hashed(row: Example) -> int:
        return int(Examples([row], source="d", columns=COLUMNS).row_hashes()[0])

    assert (hashed(one) == hashed(other)) == (fields(one) == fields(other))
    assert hashed(one) != hashed(replace(one, text=one.text + "."))
    assert hashed(one) != hashed(replace(one, label=f"{one.label}."))
    assert hashed(one) != hashed(replace(one, text_pair=(one.text_pair or "") + "."))
