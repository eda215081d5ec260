import io
import json
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from speu_cli.cli.output import Output, as_json
from speu_cli.progress import Silent


class Side(Enum):
    LEFT = "left"


@dataclass(frozen=True)
class Inner:
    value: float
    path: Path


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    items: tuple[float, ...]
    counts: dict[int, np.int64]
    table: np.ndarray
    side: Side
    missing: None = None


OUTER = Outer(
    "n",
    Inner(math.nan, Path("a/b [c]")),
    (1.5, math.inf),
    {3: np.int64(4)},
    np.array([[1.0, np.nan]]),
    Side.LEFT,
)


def test_json_of_a_result_is_strict():
    assert as_json(OUTER) == {
        "name": "n",
        "inner": {"value": None, "path": "a/b [c]"},
        "items": [1.5, None],
        "counts": {"3": 4},
        "table": [[1.0, None]],
        "side": "left",
        "missing": None,
    }


def test_what_has_no_json_form_is_an_error():
    with pytest.raises(TypeError, match="no JSON form of object"):
        as_json({"a": object()})


def test_json_object_is_one_line_with_sorted_keys(capsys):
    Output(json=True).json_object(OUTER)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    assert list(json.loads(out)) == sorted(json.loads(out))


def test_facts_keep_brackets_align_and_leave_out_what_is_missing(capsys):
    Output().facts({"path": Path("a/b [c]"), "long name": 3, "missing": None, "files": ["a", "b"]})
    assert capsys.readouterr().out.splitlines() == [
        "path       a/b [c]",
        "long name  3",
        "files      a",
        "           b",
    ]


def test_a_table_is_not_wrapped_and_reads_no_markup(capsys):
    wide = "x [a-z] " * 12
    Output().table(["metric", "original"], [[wide, 0.5], ["b", ""]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "original"]
    assert wide.strip() in lines[1]
    assert lines[2] == "b"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (Output(), ["note", "warning: warn"]),
        (Output(quiet=True), ["warning: warn"]),
        (Output(verbose=True), ["note", "detail", "warning: warn"]),
        (Output(quiet=True, verbose=True), ["warning: warn"]),
    ],
)
def test_what_is_told_on_standard_error(capsys, output, told):
    output.note("note")
    output.detail("detail")
    output.warn("warn")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"speu: {line}" for line in told]


@pytest.fixture
def settings(monkeypatch):
    """The environment and logging as they were, whatever the test does to them."""
    import logging
    import os
    import warnings

    monkeypatch.setattr(os, "environ", {})
    with warnings.catch_warnings():
        yield os.environ
    logging.disable(logging.NOTSET)


def test_libraries_are_silent_and_offline(settings):
    with Output().working("train.jsonl", None):
        pass
    assert settings["HF_HUB_OFFLINE"] == "1"
    assert settings["TRANSFORMERS_VERBOSITY"] == "error"
    assert settings["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
    assert settings["TOKENIZERS_PARALLELISM"] == "false"


def test_a_hub_source_may_use_the_network(settings):
    with Output().working("train.jsonl", "hub:glue:sst2"):
        pass
    assert "HF_HUB_OFFLINE" not in settings


def test_what_the_user_has_set_stays(settings):
    settings |= {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_VERBOSITY": "info"}
    with Output().working("train.jsonl"):
        pass
    assert (settings["HF_HUB_OFFLINE"], settings["TRANSFORMERS_VERBOSITY"]) == ("0", "info")


def test_what_a_stage_prints_does_not_reach_standard_output(settings, capsys):
    with Output().working():
        print("chatter")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "chatter\n")


def test_quiet_reports_no_progress(settings):
    with Output(quiet=True).working() as progress:
        assert isinstance(progress, Silent)


def test_verbose_tells_time_and_memory(settings, capsys):
    with Output(verbose=True).working():
        pass
    assert "peak memory" in capsys.readouterr().err


def test_nothing_is_coloured_when_nobody_watches(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    Output().table(["a", "b"], [["x", 1]])
    assert "\x1b" not in stream.getvalue()
