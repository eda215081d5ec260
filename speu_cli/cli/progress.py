"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from speu_cli.progress import Progress

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0


def progress_on(stream: TextIO) -> Progress:
    """Return the progress that suits a stream: a bar if a person watches it, lines otherwise."""
    return Bar(stream) if stream.isatty() else Lines(stream)


class Bar:
    """A bar with the time left and the examples per second; it goes when the work is done.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items; each counts for its ``tokens``, if it has any, or for 1, of ``total``."""
        bar = self._bar or self._start()
        done = Done()
        task = bar.add_task(description, total=total, done=done)
        try:
            for item in items:
                yield item
                bar.update(task, advance=done.add(item))
        finally:
            bar.remove_task(task)
            if not bar.task_ids:
                bar.stop()
                self._bar = None

    def note(self, message: str) -> None:
        """Tell something worth knowing, one line, above the bar."""
        if self._bar is None:
            print(f"speu: {message}", file=self._stream)
        else:
            self._bar.console.print(f"speu: {message}", markup=False, highlight=False, soft_wrap=True)

    def _start(self) -> RichProgress:
        """Show a bar; it honours NO_COLOR, as everything of rich does."""
        from rich import progress
        from rich.console import Console
        from rich.text import Text

        class Rate(progress.ProgressColumn):
            """Examples and tokens, or steps, per second."""

            def render(self, task: progress.Task) -> Text:
                """Return the speed of a task so far."""
                done: Done = task.fields["done"]
                return Text(done.rate(task.elapsed or 0))

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            Rate(),
            progress.TimeRemainingColumn(),
            console=Console(file=self._stream, markup=False, highlight=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar.start()
        return self._bar


class Lines:
    """One plain line every ten seconds, for logs.

    Args:
        stream: Where to write them.
        clock: Tells the time in seconds.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        """Yield the items; each counts for its ``tokens``, if it has any, or for 1, of ``total``."""
        start = told = self._clock()
        done, reached = Done(), 0
        for item in items:
            yield item
            reached += done.add(item)
            now = self._clock()
            if now - told >= SECONDS_BETWEEN_LINES:
                told = now
                seconds = now - start
                share = 100 * reached // max(total, 1)
                left = _left(reached, total, seconds)
                self.note(f"{description}: {share} %, {done.rate(seconds)}, {left} left")

    def note(self, message: str) -> None:
        """Tell something worth knowing, one line."""
        print(f"speu: {message}", file=self._stream, flush=True)


class Done:
    """What was done so far: batches have examples and tokens, other steps are counted themselves."""

    def __init__(self) -> None:
        self._steps = self._examples = self._tokens = 0

    def add(self, step: object) -> int:
        """Count a step, and return what it counts for."""
        tokens: int = getattr(step, "tokens", 0)
        self._steps += 1
        self._tokens += tokens
        self._examples += len(step) if isinstance(step, list) else 0
        return tokens or 1

    def rate(self, seconds: float) -> str:
        """Return how fast the work goes."""
        if not self._steps or not seconds:
            return ""
        if not self._tokens:
            return f"{self._steps / seconds:,.1f} steps/s"
        return f"{self._examples / seconds:,.0f} examples/s, {self._tokens / seconds:,.0f} tokens/s"


def _left(done: int, total: int, seconds: float) -> str:
    """Return the time left, as minutes and seconds, if the work goes on as it did."""
    left = round(max(total - done, 0) * seconds / done)
    return f"{left // 60}:{left % 60:02d}"
