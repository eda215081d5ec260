"""``speu requests`` and ``speu unlearn --state``: what is handed to the stages, and what is printed."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speu_cli import DataChoice
from speu_cli.cli.app import app
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.requests.listing import Listed, ListResult
from speu_cli.stages.requests.served import ServedResult
from speu_cli.stages.requests.start import StartResult, StepChoice
from speu_cli.stages.requests.verify import VerifyResult

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
    method="spe-so",
    rate=1e-6,
    loss_before=0.1,
    loss_after=0.7,
    selected={"heads": (14, 144), "filters": (3, 30)},
    parameters_changed=1000,
    ledger_head="ab",
    notes=["2 of 32 examples were forgotten before"],
    seconds=2.0,
)
LISTED = Listed(3, "R-1", "2026-01-02T03:04:05+00:00", 30, 2, 62, 1e-6, 0.1, 0.7, "new")
NOTHING_NEW = Listed(4, "R-2", "2026-01-03T03:04:05+00:00", 0, 2, 62, None, None, None, "newer")
RESULTS = {
    "serve.serve_request": SERVED,
    "start.start_requests": StartResult(Path("state"), 1200, "spe-so", "ab", Path("state/salt"), None),
    "listing.list_requests": ListResult(Path("state"), "ab", 1200, [LISTED, NOTHING_NEW]),
    "listing.show_request": {"id": "R-1", "number": 3},
    "verify.verify_requests": VerifyResult(Path("state"), 4, "ab", ["mask: m"], [], []),
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
        "method": "spe-so",
        "sparsity": 0.9,
        "kinds": "both",
        "curvature": "total",
        "rounds": None,
        "step": StepChoice(),
        "continues": None,
        "choice": DataChoice(),
    }


def test_a_request_of_a_state(calls):
    result = run(*SERVE, "--request-id", "R-1", "--rate", "1e-6")
    [(args, kwargs)] = calls
    kwargs.pop("runtime")
    assert args == (Path("state"), "i", Path("new"))
    assert kwargs == {"request_id": "R-1", "rate": 1e-6, "dry_run": False}
    assert "forgotten in all    62" in result.stdout.splitlines()
    assert "2 of 32 examples were forgotten before" in result.stderr


@pytest.mark.parametrize(
    "settled",
    [
        ["model"],
        ["--fisher", "f"],
        ["--data", "d"],
        ["--mask", "m"],
        ["--method", "so"],
        ["--sparsity", "0.5"],
        ["--damping", "1"],
        ["--max-overshoot", "3"],
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
    assert lines[1].endswith("0.1000 -> 0.7000")
    assert lines[2].endswith("- -> -")


def test_show_is_json_whatever_is_asked(calls):
    assert json.loads(run("requests", "show", "state", "R-1").stdout) == {"id": "R-1", "number": 3}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (INIT, "start.start_requests"),
        (SERVE, "serve.serve_request"),
        (["requests", "verify", "state"], "verify.verify_requests"),
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
