import io
import re
import time

import pytest

from speu_cli.cli.progress import Bar, Lines, progress_on
from speu_cli.data.batches import Batch


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def clock_of(seconds):
    times = iter(seconds)
    return lambda: next(times)


def test_a_line_every_ten_seconds():
    stream = io.StringIO()
    lines = Lines(stream, clock=clock_of([0, 4, 9, 11, 14, 20, 21]))
    assert list(lines.track("abcdef", total=12, description="trying")) == list("abcdef")
    assert stream.getvalue().splitlines() == [
        "speu: trying: 25 %, 0.3 steps/s, 0:33 left",
        "speu: trying: 50 %, 0.3 steps/s, 0:21 left",
    ]


def test_batches_count_for_their_tokens_and_tell_examples_too():
    stream = io.StringIO()
    lines = Lines(stream, clock=clock_of([0, 5, 10]))
    list(lines.track([Batch([1] * 30, 300), Batch([1] * 10, 200)], total=1000, description="statistics"))
    assert stream.getvalue() == "speu: statistics: 50 %, 4 examples/s, 50 tokens/s, 0:10 left\n"


def test_short_work_makes_no_line():
    stream = io.StringIO()
    assert list(Lines(stream).track([1, 2], total=2, description="d")) == [1, 2]
    assert stream.getvalue() == ""


def test_notes_are_lines():
    stream = io.StringIO()
    Lines(stream).note("rate [a-z] found")
    assert stream.getvalue() == "speu: rate [a-z] found\n"


def test_terminal_has_a_bar_and_other_streams_have_lines(terminal):
    assert isinstance(progress_on(terminal), Bar)
    assert isinstance(progress_on(io.StringIO()), Lines)


def test_bar_shows_description_and_share_and_yields_every_item(terminal):
    bar = Bar(terminal)
    assert list(bar.track(range(3), total=3, description="statistics [a-z]")) == [0, 1, 2]
    assert "statistics [a-z]" in terminal.getvalue()
    assert " 0%" in terminal.getvalue()


def test_bar_tells_examples_and_tokens_a_second(terminal):
    deadline = time.monotonic() + 60  # the bar is drawn by a thread of its own

    def batches():
        while " tokens/s" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
            yield Batch([1] * 50, 500)

    for _ in Bar(terminal).track(batches(), total=10_000_000, description="statistics"):
        pass
    assert re.search(r"[1-9]\d* examples/s, [1-9][\d,]* tokens/s", terminal.getvalue())


def test_bars_nest_and_notes_pass_above_them(terminal):
    bar = Bar(terminal)
    for _ in bar.track(range(2), total=2, description="outer"):
        for _ in bar.track(range(2), total=2, description="inner"):
            bar.note("note [a-z] " + "x" * 120)
    assert terminal.getvalue().count("speu: note [a-z] " + "x" * 120) == 4
    bar.note("after")
    assert terminal.getvalue().endswith("speu: after\n")


def test_bar_is_taken_away_when_the_work_fails(terminal):
    bar = Bar(terminal)

    def work():
        for _ in bar.track(range(3), total=3, description="d"):
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        work()
    terminal.truncate(0)
    terminal.seek(0)
    bar.note("on its own line")
    assert terminal.getvalue() == "speu: on its own line\n"
    assert list(bar.track(range(1), total=1, description="again")) == [0]


def test_no_colour_is_honoured(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    list(Bar(terminal).track(range(2), total=2, description="d"))
    assert "\x1b[3" not in terminal.getvalue()
