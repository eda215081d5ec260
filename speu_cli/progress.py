"""How long-running work reports itself; the command line shows it, a library user may ignore it."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives the steps of long-running work."""

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items, counting each as one step of ``total``."""
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
