import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.data.batches import batches_by_length
from speu_cli.errors import InputError

some_lengths = st.lists(st.integers(0, 60), max_size=80)
some_limit = st.integers(1, 300)


@given(some_lengths, some_limit)
def test_every_example_is_in_one_batch(lengths: list[int], max_tokens: int) -> None:
    batches = batches_by_length(lengths, max_tokens=max_tokens)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(batches)


@given(some_lengths, some_limit)
def test_a_padded_batch_is_within_the_limit_or_one_example(lengths: list[int], max_tokens: int) -> None:
    for batch in batches_by_length(lengths, max_tokens=max_tokens):
        assert len(batch) == 1 or max(lengths[position] for position in batch) * len(batch) <= max_tokens


@given(some_lengths, some_limit)
def test_batches_are_deterministic_and_as_full_as_they_can_be(lengths: list[int], max_tokens: int) -> None:
    batches = batches_by_length(lengths, max_tokens=max_tokens)
    assert batches == batches_by_length(tuple(lengths), max_tokens=max_tokens)
    in_order = [lengths[position] for batch in batches for position in batch]
    assert in_order == sorted(lengths, reverse=True)
    for batch in batches[:-1]:
        assert max(1, lengths[batch[0]]) * (len(batch) + 1) > max_tokens  # an empty one counts as one token


def test_equal_lengths_keep_their_order() -> None:
    assert batches_by_length([3, 5, 3, 5, 3], max_tokens=10) == [[1, 3], [0, 2, 4]]


def test_no_examples_make_no_batches() -> None:
    assert batches_by_length([], max_tokens=1) == []


@pytest.mark.parametrize("max_tokens", [0, -5])
def test_a_limit_below_one_is_refused(max_tokens: int) -> None:
    with pytest.raises(InputError, match=rf"^batch tokens: got {max_tokens}, expected at least 1$"):
        batches_by_length([1], max_tokens=max_tokens)
