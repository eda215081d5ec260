"""``speu requests`` and ``speu unlearn --state``: what is handed to the stages, and what is printed."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speu_cli import DataChoice
from speu_cli.cli.app import app
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.requests.compact import CompactResult
from speu_cli.stages.requests.listing import Listed, ListResult
from speu_cli.stages.requests.report import ReportResult
from speu_cli.stages.requests.served import ServedResult
from speu_cli.stages.requests.start import StartResult, StepChoice, WatchChoice
from speu_cli.stages.requests.verify import VerifyResult
from speu_cli.unlearning.requests.capacity import Capacity, Drift, Level

LEFT, CLOCK = "R-9 was interrupted", "a clock went backwards"
CAPACITY = Capacity(Drift(0.1, 0.001, [0.06, 0.08]), 0.05, Level(100, 0.4, 0.5), None)
SERVED = ServedResult(
    output=Path("new"),
    dry_run=False,
    request_id="R-1",
    number=3,
    already_done=False,
    forget_examples=32,
    forgotten_before=2,
    forgotten_in_all=62,
    remaining_examples=1138,
    mode="aided",
    method="spe-so",
    rate=1e-6,
    loss_before=0.1,
    loss_after=0.7,
    selected={"heads": (14, 144), "filters": (3, 30)},
    parameters_changed=1000,
    capacity=CAPACITY,
    retrain=[],
    ledger_head="ab",
    notes=["2 of 32 examples were forgotten before"],
    seconds=2.0,
)
LISTED = Listed(3, "R-1", "2026-01-02T03:04:05+00:00", 30, 2, 62, 1e-6, 0.1, 0.7, CAPACITY, [], "new")
NOTHING_NEW = Listed(4, "R-2", "2026-01-03T03:04:05+00:00", 0, 2, 62, None, None, None, CAPACITY, [], "newer")
RESULTS = {
    "serve.serve_request": SERVED,
    "start.start_requests": StartResult(
        Path("state"), 1200, "aided", "spe-so", "ab", Path("state/salt"), 0, 256, None
    ),
    "listing.list_requests": ListResult(
        Path("state"), "ab", 1200, [LISTED, NOTHING_NEW], "R-9 was interrupted"
    ),
    "listing.show_request": {"id": "R-1", "number": 3},
    "verify.verify_requests": VerifyResult(
        Path("state"), 4, "ab", ["mask: m"], [], [], ["a clock went backwards"]
    ),
    "report.report_requests": ReportResult(Path("state"), None, ["1.md", "1.json"], []),
    "compact.compact_requests": CompactResult(Path("state"), ["forgotten-000001.safetensors"], 2048),
}
INIT = ["requests", "init", "state", "--model", "m", "--fisher", "f", "--data", "d"]
SERVE = ["unlearn", "--state", "state", "--forget", "i", "-o", "new"]


@pytest.fixture
def calls(monkeypatch):
    """Stages that remember their calls and return ready results."""
    made = []

    def stage(result):
        return lambda *args, **kwargs: (made.append((args, kwargs)), result)[1]

    for name, result in RESULTS.items():
        monkeypatch.setattr(f"speu_cli.stages.requests.{name}", stage(result))
    monkeypatch.setattr("speu_cli.cli.output.quiet_libraries", lambda **_: None)
    return made


def run(*arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_init_by_default(calls):
    run(*INIT)
    [(args, kwargs)] = calls
    kwargs.pop("runtime")
    assert args == (Path("state"), Path("m"), Path("f"), "d")
    assert kwargs == {
        "mode": "aided",
        "max_examples": None,
        "method": "spe-so",
        "mask": MaskSettings(),
        "step": StepChoice(),
        "watch": WatchChoice(),
        "continues": None,
        "choice": DataChoice(),
    }


def test_a_state_takes_second_order_steps_only(calls):
    result = CliRunner().invoke(app, [*INIT, "--method", "ssd"])
    assert result.exit_code == 2
    assert "'ssd' is not one of 'spe-so', 'so'" in result.output
    assert not calls


def test_a_request_of_a_state(calls):
    result = run(*SERVE, "--request-id", "R-1", "--rate", "1e-6")
    [(args, kwargs)] = calls
    kwargs.pop("runtime")
    assert args == (Path("state"), "i", Path("new"))
    assert kwargs == {"request_id": "R-1", "model": None, "rate": 1e-6, "dry_run": False}
    assert "forgotten in all    62" in result.stdout.splitlines()
    assert "2 of 32 examples were forgotten before" in result.stderr


@pytest.mark.parametrize(
    "settled",
    [
        ["--fisher", "f"],
        ["--data", "d"],
        ["--mask", "m"],
        ["--method", "so"],
        ["--objective", "mlf"],
        ["--within", "wanda:0.9"],
        ["--ssd-alpha", "5"],
        ["--sparsity", "0.5"],
        ["--damping", "1"],
        ["--max-overshoot", "2"],
        ["--recipe", "paper"],
        ["--text-column", "t"],
        ["--forget-examples", "remembered"],
    ],
)
def test_what_the_state_has_settled_is_refused(calls, settled):
    result = CliRunner().invoke(app, [*SERVE, *settled])
    assert isinstance(result.exception, InputError)
    assert "has settled it" in str(result.exception)
    assert not calls


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (["unlearn", "--fisher", "f", "--data", "d"], "MODEL"),
        (["unlearn", "m", "--data", "d"], "--fisher"),
        (["unlearn", "m", "--fisher", "f"], "--data"),
        (["unlearn", "m", "--fisher", "f", "--data", "d", "--request-id", "R"], "--state"),
    ],
)
def test_without_a_state_all_has_to_be_named(line, missing):
    result = CliRunner().invoke(app, [*line, "--forget", "i", "-o", "new"])
    assert isinstance(result.exception, InputError)
    assert missing in str(result.exception)


def test_the_list_is_a_table(calls):
    lines = run("requests", "list", "state").stdout.splitlines()
    assert lines[1].split()[0] == "R-1"
    assert lines[1].split()[-5:] == ["0.1000", "->", "0.7000", "0.5000", "0.100%"]
    assert lines[2].split()[-5:-2] == ["-", "->", "-"]


def test_show_is_json_whatever_is_asked(calls):
    assert json.loads(run("requests", "show", "state", "R-1").stdout) == {"id": "R-1", "number": 3}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (INIT, "start.start_requests"),
        (SERVE, "serve.serve_request"),
        (["requests", "list", "state"], "listing.list_requests"),
        (["requests", "verify", "state"], "verify.verify_requests"),
        (["requests", "report", "state"], "report.report_requests"),
        (["requests", "compact", "state"], "compact.compact_requests"),
    ],
)
def test_json_is_every_field_and_may_stand_before_the_command(calls, line, name):
    result = run(*line, "--json").stdout
    assert json.loads(result).keys() == {field.name for field in dataclasses.fields(RESULTS[name])}
    assert run("--json", *line).stdout == result


def test_what_is_wrong_is_told_and_fails(calls, monkeypatch):
    found = dataclasses.replace(RESULTS["verify.verify_requests"], wrong=["mask: changed"])
    monkeypatch.setattr("speu_cli.stages.requests.verify.verify_requests", lambda _: found)
    result = CliRunner().invoke(app, ["requests", "verify", "state"])
    assert isinstance(result.exception, ArtifactError)
    assert "mask: changed" in result.stdout


@pytest.mark.parametrize(("already_done", "code"), [(False, 9), (True, 0)])
def test_advice_to_retrain_has_its_own_exit_code(calls, monkeypatch, already_done, code):
    """But not for a request that was served before."""
    result = dataclasses.replace(SERVED, retrain=["drift.share>0 (0.1 is > 0)"], already_done=already_done)
    monkeypatch.setattr("speu_cli.stages.requests.serve.serve_request", lambda *_, **__: result)
    ran = CliRunner().invoke(app, [*SERVE, "--json"])
    assert ran.exit_code == code
    assert json.loads(ran.stdout)["retrain"] == result.retrain
    assert "retrain now: drift.share>0" in ran.stderr


def test_a_model_that_was_moved_may_be_named(calls):
    run("unlearn", "moved", *SERVE[1:])
    assert calls[0][1]["model"] == Path("moved")


def test_what_is_watched_and_when_to_retrain(calls):
    gates = ("--retrain-when", "drift.share>1", "--retrain-when", "holdout.rise>2")
    run(*INIT, "--mode", "free", "--max-examples", "9", "--holdout", "h", "--watch", "5", *gates)
    kwargs = calls[0][1]
    assert kwargs["watch"] == WatchChoice("h", 5, ("drift.share>1", "holdout.rise>2"))
    assert (kwargs["mode"], kwargs["max_examples"]) == ("free", 9)


def test_notes_are_told_on_stderr(calls):
    assert LEFT in run("requests", "list", "state").stderr
    assert CLOCK in run("requests", "verify", "state").stderr


def test_a_dry_run_of_compact_says_would(calls):
    assert run("requests", "compact", "state").stdout.splitlines()[1].split()[0] == "removed"
    assert "would remove" in run("requests", "compact", "state", "--dry-run").stdout
    assert [kwargs for _, kwargs in calls] == [{"dry_run": False}, {"dry_run": True}]
