"""The size of a batch by trial: doubled as long as that pays, fits, and leaves memory to the machine."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from speu_cli.data.batches import Batch
from speu_cli.statistics import trial
from speu_cli.statistics.trial import FIRST, SHARE_OF_FREE, WORTH, find_batch_tokens

CPU = torch.device("cpu")
LONGEST, EXAMPLES = 64, 4096
LENGTHS = [LONGEST] * EXAMPLES
PLENTY = 2**50


class Machine:
    """Takes time and memory for batches, as it is told.

    Attributes:
        tried: Tokens of the batches that were computed.
        now: Time in seconds.
        used: Memory in use.
        free: Memory that is free.
    """

    def __init__(
        self,
        *,
        seconds: Callable[[int], float] = lambda _: 1.0,
        memory: Callable[[int], int] = lambda _: 0,
        most: int = PLENTY,
        free: int = PLENTY,
    ) -> None:
        self._seconds, self._memory, self._most = seconds, memory, most
        self.tried: list[int] = []
        self.now, self.used, self.free = 0.0, 0, free

    def add(self, batch: Batch) -> bool:
        self.tried.append(batch.tokens)
        if batch.tokens > self._most:
            return False
        self.now += self._seconds(batch.tokens)
        self.used = max(self.used, self._memory(batch.tokens))
        return True


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The size that is found on a machine."""

    def on(machine: Machine, lengths: list[int] = LENGTHS, device: torch.device = CPU) -> int:
        process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=machine.used))
        memory = SimpleNamespace(available=machine.free)
        monkeypatch.setattr(
            trial, "psutil", SimpleNamespace(Process=lambda: process, virtual_memory=lambda: memory)
        )
        monkeypatch.setattr(trial, "_now", lambda _: machine.now)
        return find_batch_tokens(machine.add, lengths, device)

    return on


def twice_each(count: int, first: int = FIRST) -> list[int]:
    """Sizes, doubled; each is computed twice, for the first time is no measure."""
    return [size for number in range(count) for size in [first * 2**number] * 2]


def test_it_doubles_while_that_is_faster_and_there_are_examples(find: Callable[..., int]) -> None:
    machine = Machine()  # any batch takes a second: the larger the faster
    assert find(machine) == LONGEST * EXAMPLES
    assert machine.tried == twice_each(9)


def test_it_stops_where_twice_the_size_is_no_faster(find: Callable[..., int]) -> None:
    full = 4 * FIRST
    machine = Machine(seconds=lambda tokens: max(tokens, full) / full)
    assert find(machine) == full
    assert machine.tried == twice_each(4)


@pytest.mark.parametrize(("gain", "expected"), [(-0.01, FIRST), (0.01, LONGEST * EXAMPLES)])
def test_a_gain_has_to_be_worth_its_memory(find: Callable[..., int], gain: float, expected: int) -> None:
    machine = Machine(seconds=lambda tokens: tokens / (WORTH + gain) ** math.log2(tokens / FIRST))
    assert find(machine) == expected


@pytest.mark.parametrize(("most", "fits"), [(FIRST, FIRST), (2 * FIRST, 2 * FIRST), (3 * FIRST, 2 * FIRST)])
def test_it_stops_where_a_batch_does_not_fit(find: Callable[..., int], most: int, fits: int) -> None:
    machine = Machine(most=most)
    assert find(machine) == fits
    assert machine.tried[-1] == 2 * fits
    assert machine.tried.count(2 * fits) == 1


def test_a_batch_may_fit_once_and_not_again(find: Callable[..., int]) -> None:
    machine = Machine()
    add, largest = machine.add, 4 * FIRST
    machine.add = lambda batch: largest not in machine.tried and add(batch)  # type: ignore[method-assign]
    assert find(machine) == largest // 2


def test_where_nothing_fits_the_pass_itself_has_to_find_a_size(find: Callable[..., int]) -> None:
    machine = Machine(most=FIRST - 1)
    assert find(machine) == FIRST
    assert machine.tried == [FIRST]


def test_it_leaves_memory_to_the_machine(find: Callable[..., int]) -> None:
    # Four times the first size takes two steps more than twice it, and eight times takes twice as much more.
    step = 1000
    enough = int(2 * 2 * step / SHARE_OF_FREE)
    for free, expected in ((enough, 8), (enough - 1, 4)):
        machine = Machine(memory=lambda tokens: tokens // FIRST * step, free=free)
        assert find(machine) == expected * FIRST


def test_a_gpu_says_itself_what_does_not_fit(find: Callable[..., int]) -> None:
    machine = Machine(memory=lambda tokens: tokens * 1000, free=1)
    assert find(machine, device=torch.device("cuda")) == LONGEST * EXAMPLES


def test_long_examples_are_tried_alone_and_then_together(
    find: Callable[..., int],
) -> None:
    longest = 3 * FIRST
    machine = Machine()
    assert find(machine, [longest] * 8) == 8 * longest
    assert machine.tried == twice_each(4, longest)


def test_the_longest_are_tried(find: Callable[..., int]) -> None:
    machine = Machine(most=FIRST)
    find(machine, [1] * 10_000 + [FIRST])
    assert machine.tried[:2] == [FIRST, FIRST]


@pytest.mark.parametrize("lengths", [[], [3, 1]], ids=["none", "few"])
def test_few_examples_are_in_one_batch_and_none_in_none(find: Callable[..., int], lengths: list[int]) -> None:
    machine = Machine()
    assert find(machine, lengths) == FIRST
    assert machine.tried == ([sum(lengths)] * 2 if lengths else [])
