"""How long-running work reports itself; the command line shows it, a library user may ignore it."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives the steps of long-running work."""

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items; each counts for its ``tokens``, if it has any, or for 1, of ``total``."""
        ...

    def note(self, message: str) -> None:
        """Tell something worth knowing, one line."""
        ...


class Silent:
    """Reports nothing."""

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items unchanged."""
        yield from items

    def note(self, message: str) -> None:
        """Drop the message."""
