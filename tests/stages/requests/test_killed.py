"""A request whose process is killed, or whose file operations fail: the state is that before or after."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speu_cli.unlearning.requests.settled import Mode

SCRIPT = Path(__file__).with_name("killed.py")
KILLED, DONE, ALL_THE_SAME, FAILED = -9, 0, 3, 7
KILLS = 100

Property = Callable[[str, object], None]


def run(what: str, mode: Mode, folder: Path, *more: str) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, SCRIPT, what, mode, str(folder), *more],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def test_killed_at_a_hundred_random_moments(tmp_path: Path, record_property: Property) -> None:
    result = run("moments", "aided", tmp_path, str(KILLS))
    kills, found = Counter(result["codes"]), Counter(result["found"])
    record_property("request killed at random moments", f"{kills[KILLED]} kills, {dict(found)}")
    assert set(found) <= {"before", "after"}
    assert kills.keys() <= {KILLED, DONE} and kills[KILLED] == KILLS
    assert found["before"] > 0
    assert (result["last"], result["leftovers"]) == ("after", [])


@pytest.mark.parametrize("mode", ["aided", "free"])
def test_killed_before_every_file_operation(mode: Mode, tmp_path: Path, record_property: Property) -> None:
    result = run("kill", mode, tmp_path)
    kills = Counter(result["codes"])
    record_property(f"request killed before each file operation, {mode}", f"{kills[KILLED]} kills")
    assert set(result["found"]) == {"before", "after"}
    assert kills == {KILLED: len(result["codes"]) - 1, DONE: 1} and kills[KILLED] > 30
    # Once recorded, it stays so.
    assert sorted(result["found"], reverse=True) == result["found"]
    assert (result["last"], result["leftovers"]) == ("after", [])


@pytest.mark.parametrize("mode", ["aided", "free"])
def test_every_file_operation_failing(mode: Mode, tmp_path: Path, record_property: Property) -> None:
    """A request that fails is undone; one that says that it is done is done."""
    result = run("fail", mode, tmp_path)
    codes = Counter(result["codes"])
    record_property(f"file operations failing in a request, {mode}", f"{codes[FAILED]} failures told")
    assert codes.keys() == {FAILED, ALL_THE_SAME, DONE} and codes[FAILED] > 30
    expected = {FAILED: "before", ALL_THE_SAME: "after", DONE: "after"}
    assert [expected[code] for code in result["codes"]] == result["found"]
    assert (result["last"], result["leftovers"]) == ("after", [])
