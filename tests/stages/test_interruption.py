"""Signals that wait until the work can be left."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from speu_cli.stages.interruption import POSTPONED, postponed


class Ended(BaseException):
    """What the handlers here do."""


@pytest.fixture
def came() -> Iterator[list[int]]:
    """Signals that were handled, by handlers that end the work."""
    numbers: list[int] = []

    def handler(number: int, _: FrameType | None) -> None:
        numbers.append(number)
        raise Ended

    before = {number: signal.signal(number, handler) for number in POSTPONED}
    try:
        yield numbers
    finally:
        for number, of_before in before.items():
            signal.signal(number, of_before)


@pytest.mark.parametrize("number", POSTPONED)
def test_a_signal_waits_for_the_end_of_the_body(came: list[int], number: signal.Signals) -> None:
    reached = False
    with pytest.raises(Ended), postponed() as interruption:
        assert not interruption
        signal.raise_signal(number)
        assert interruption and not came
        reached = True
    assert reached
    assert came == [number]


def test_a_signal_waits_until_it_may_act(came: list[int]) -> None:
    with postponed() as interruption:
        interruption.act()
        assert not came
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Ended):
            interruption.act()
        assert not interruption  # it has acted, and does not act again at the end
    assert came == [signal.SIGTERM]


@pytest.mark.parametrize("second", POSTPONED)
def test_a_second_signal_does_not_wait(came: list[int], second: signal.Signals) -> None:
    reached = False
    with pytest.raises(Ended), postponed():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(second)
        reached = True
    assert not reached
    assert came == [signal.SIGTERM]


def test_an_error_of_the_body_goes_before_a_signal_that_waits(came: list[int]) -> None:
    with pytest.raises(ValueError, match="of the body"), postponed():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("of the body")
    assert not came


@pytest.mark.parametrize("fails", [False, True])
def test_the_handlers_are_put_back(came: list[int], fails: bool) -> None:
    before = [signal.getsignal(number) for number in POSTPONED]
    try:
        with postponed():
            assert not set(before) & {signal.getsignal(number) for number in POSTPONED}
            if fails:
                raise ValueError
    except ValueError:
        pass
    assert [signal.getsignal(number) for number in POSTPONED] == before
    assert not came


def test_what_a_handler_sets_as_it_acts_stays() -> None:
    def handler(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one is not to disturb what the first has set going
        raise Ended

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Ended), postponed() as interruption:
            signal.raise_signal(signal.SIGTERM)
            interruption.act()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


DEFAULT = """
import signal
from speu_cli.stages.interruption import postponed
with postponed():
    signal.raise_signal(signal.SIGTERM)
    print("the end of the body", flush=True)
print("after it", flush=True)
"""


def test_where_nobody_handles_a_signal_it_ends_the_process() -> None:
    process = subprocess.run(
        [sys.executable, "-c", DEFAULT], capture_output=True, text=True, check=False, timeout=60
    )
    assert (process.returncode, process.stdout) == (-signal.SIGTERM, "the end of the body\n")


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with postponed() as interruption:
            signal.raise_signal(signal.SIGINT)
            interruption.act()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_happens(came: list[int]) -> None:
    before = [signal.getsignal(number) for number in POSTPONED]
    within: list[object] = []

    def work() -> None:
        with postponed() as interruption:
            within.extend(signal.getsignal(number) for number in POSTPONED)
            within.append(bool(interruption))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert within == [*before, False]
    assert not came
