"""How examples are dealt out to shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.data.shards import Shard, positions
from speu_cli.errors import InputError

LENGTHS = st.lists(st.integers(1, 512), max_size=60)


def dealt(lengths: list[int], count: int) -> list[list[int]]:
    return [positions(lengths, Shard(index, count)) for index in range(1, count + 1)]


@given(LENGTHS, st.integers(1, 9))
def test_every_example_is_in_one_shard(lengths: list[int], count: int) -> None:
    shards = dealt(lengths, count)
    assert sorted(one for shard in shards for one in shard) == list(range(len(lengths)))
    assert all(shard == sorted(shard) for shard in shards)


@given(LENGTHS, st.integers(1, 9))
def test_shards_are_balanced(lengths: list[int], count: int) -> None:
    shards = dealt(lengths, count)
    sizes = [len(shard) for shard in shards]
    tokens = [sum(lengths[one] for one in shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert max(tokens) - min(tokens) <= max(lengths, default=0)


def test_lengths_alone_decide_and_equal_ones_keep_their_order() -> None:
    # The longest first: 4 and 7 have 9 tokens, then 1, then the others, dealt 1 2 3 3 2 1 1 2 3.
    lengths = [2, 5, 2, 2, 9, 2, 2, 9, 2]
    assert dealt(lengths, 3) == [[3, 4, 5], [2, 6, 7], [0, 1, 8]]
    assert dealt(lengths, 1) == [list(range(9))]


def test_more_shards_than_examples_leave_some_empty() -> None:
    assert dealt([3, 4], 4) == [[1], [0], [], []]


@pytest.mark.parametrize("text", ["1/1", "2/8", "8/8", "16/16"])
def test_a_shard_is_read_as_it_is_written(text: str) -> None:
    assert str(Shard.parse(text)) == text


NO_SHARDS = ["", "2", "0/8", "9/8", "-1/8", "1/0", "0/0", "1/8 ", "a/b", "1/8/9", "1.0/2", "²/8"]


@pytest.mark.parametrize("text", NO_SHARDS)
def test_what_is_no_shard_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="expected I/N") as caught:
        Shard.parse(text)
    assert "\n" not in str(caught.value)


def test_there_is_no_shard_outside_of_the_run() -> None:
    with pytest.raises(ValueError, match="9/8"):
        Shard(9, 8)
