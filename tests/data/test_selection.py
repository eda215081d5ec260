import numpy as np
import pytest

from speu_cli.data.columns import Columns
from speu_cli.data.examples import Example, Examples
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.errors import InputError

EXAMPLES = Examples(
    [Example(one, "text", None, 0) for one in "abcd"],
    source="d.jsonl",
    columns=Columns("id", "text", None, "label"),
)


@pytest.mark.parametrize(
    ("ids", "exclude", "left"),
    [
        (None, None, "abcd"),
        (["c", "a"], None, "ac"),
        (None, ["c", "a"], "bd"),
        (["d", "b"], ["b", "a"], "d"),
        (None, [], "abcd"),
    ],
)
def test_select_training(ids: list[str] | None, exclude: list[str] | None, left: str) -> None:
    assert select_training(EXAMPLES, ids=ids, exclude=exclude).ids == list(left)


@pytest.mark.parametrize(
    ("ids", "exclude", "message"),
    [
        (["a", "x"], None, "ids: 1 of 2 ids are not in d.jsonl: 'x'"),
        (None, ["x"], "exclude: 1 of 1 ids are not in d.jsonl: 'x'"),
        (["a", "a"], None, "ids: id 'a' is there twice, expected every id once"),
        ([], None, "d.jsonl: ids and exclude leave nothing, expected at least one example"),
        (["a"], ["a"], "d.jsonl: ids and exclude leave nothing, expected at least one example"),
        (None, list("abcd"), "d.jsonl: ids and exclude leave nothing, expected at least one example"),
    ],
)
def test_a_selection_that_cannot_be_served(
    ids: list[str] | None, exclude: list[str] | None, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        select_training(EXAMPLES, ids=ids, exclude=exclude)
    assert str(caught.value) == message


def test_a_sample_is_of_the_size_asked_for_and_depends_on_the_seed_alone() -> None:
    flags = sample_flags(1000, 100, 7)
    assert flags.dtype == np.bool_
    assert flags.shape == (1000,)
    assert flags.sum() == 100
    assert np.array_equal(flags, sample_flags(1000, 100, 7))
    assert not np.array_equal(flags, sample_flags(1000, 100, 8))


@pytest.mark.parametrize("max_examples", [None, 5, 6])
def test_a_sample_of_all(max_examples: int | None) -> None:
    assert sample_flags(5, max_examples, 0).tolist() == [True] * 5


@pytest.mark.parametrize("max_examples", [0, -1])
def test_a_sample_of_none_is_refused(max_examples: int) -> None:
    with pytest.raises(InputError, match=rf"^max examples: got {max_examples}, expected at least 1$"):
        sample_flags(5, max_examples, 0)


def test_ids_that_were_left_out_are_said_to_be_there() -> None:
    """Also of a part of what was left: another id is still one that the source lacks."""
    training = select_training(EXAMPLES, ids=None, exclude=["b", "c"]).select(["a", "d"], why="are elsewhere")
    told = r"^ids: 1 of 3 ids are in d\.jsonl, but were excluded: 'b'$"
    with pytest.raises(InputError, match=told) as refused:
        training.without(["a"]).positions(["x", "b", "d"])
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("leave these ids out")
    with pytest.raises(InputError, match=r"ids are not in d\.jsonl: 'x'"):
        training.positions(["x"])
