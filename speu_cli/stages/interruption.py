"""Signals that wait until the work can be left."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

POSTPONED = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """A request to end that came from outside, if any."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._handlers = {number: signal.getsignal(number) for number in POSTPONED}

    def __bool__(self) -> bool:
        return self._number is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; a second one does not wait."""
        if self._number is not None:
            self.act()
        self._number = number

    def act(self) -> None:
        """Do what the signal would have done at once, if one came."""
        number, self._number = self._number, None
        if number is None:
            return
        handler = self._handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, None)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def postponed() -> Iterator[Interruption]:
    """Let SIGTERM and SIGINT wait for the end of the body, or for ``act``; outside the main thread nothing.

    Yields:
        Whether one came.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.note) for number in POSTPONED}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            # One that has acted may have set what comes after it.
            if signal.getsignal(number) == interruption.note:
                signal.signal(number, handler)
    interruption.act()
