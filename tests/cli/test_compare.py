"""``speu compare`` on the command line."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from evaluated import evaluation, write

from speu_cli.cli.main import main

RELEARNT = "attack.relearn.loss.forget"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", evaluation("3"))
    write(tmp_path / "b.json", evaluation("4", unlearning_accuracy=0.0))
    return tmp_path


def test_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.json", "second=b.json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    titles = [line.split()[0] for line in out.splitlines() if line and not line[0].isspace()]
    assert [title for title in titles if title in {"efficacy", "fidelity", "gaps", "cost"}] == [
        *("efficacy", "fidelity", "gaps", "cost")
    ]
    assert titles.count("second") == 4
    assert "On average closest to the retrained model: a" in out


def test_chosen_metrics_sorted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "compare",
        "a.json",
        "b.json",
        "--sort",
        "unlearning_accuracy",
        "--metrics",
        "unlearning_accuracy",
    ]
    assert main([*command, "--metrics", "gap.average"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["metrics", "unlearning_accuracy", "gap.average"]
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["original", "reference", "b", "a"]


def test_one_json_object(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.json", "b.json", "--sort", "-gap.average", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    result = json.loads(out)
    assert [model["name"] for model in result["models"]] == ["original", "reference", "b", "a"]


def test_files(home: Path) -> None:
    assert main(["compare", "a.json", "--html", "page.html", "--markdown", "page.md", "-q"]) == 0
    assert Path("page.html").read_text().startswith("<!doctype html>")
    assert main(["compare", "a.json", "--html", "page.html", "-q"]) == 5


def test_a_page_on_a_full_disk_costs_no_comparison(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("speu_cli.stages.compare.page", full)
    assert main(["compare", "a.json", "--html", "page.html", "--json"]) == 7
    out, err = capsys.readouterr()
    assert [model["name"] for model in json.loads(out)["models"]] == ["original", "reference", "a"]
    assert err.splitlines() == ["speu: error: no space left on device", "hint: free some space"]
    assert not Path("page.html").exists()


def test_times(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home / "unlearn.json", {"output": "a", "seconds": 2.5})
    assert main(["compare", "a.json", "--made", "a=unlearn.json"]) == 0
    assert "2.5 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "missing argument"),
        (["a.json", "other/a.json"], 2, "two runs are called 'a'"),
        (["a=a.json", "a=b.json"], 2, "two runs are called 'a'"),
        (["=a.json"], 2, "a run is called ''"),
        (["nothing.json"], 2, "cannot be read"),
        (["bad.json"], 4, "not readable JSON"),
        (["empty.json"], 4, "not what speu eval --json prints"),
        (["a.json", "rows.json"], 4, "a.json and rows.json cannot be compared"),
        (["a.json", "steps.json", "--sort", f"-{RELEARNT}"], 4, f"{RELEARNT} cannot be compared: attack.rel"),
        (["a.json", "steps.json", "--metrics", RELEARNT], 4, "left out: steps 5 in a; steps 9 in steps"),
        (["a.json", "--sort", "nonsense"], 2, "no model has 'nonsense'"),
        (["a.json", "--metrics", "nonsense"], 2, "no model has 'nonsense'"),
        (["a.json", "--made", "a"], 2, "expected NAME=FILE"),
        (["a.json", "--made", "a=a.json", "--made", "a=a.json"], 2, "twice"),
        (["a.json", "--force"], 2, "belongs to a file"),
        (["a.json", "--html", "a.json", "--force"], 2, "would replace the input"),
    ],
    ids=str,
)
def test_refusals_are_one_line_with_their_code(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (home / "bad.json").write_text("no json")
    (home / "empty.json").write_text("{}")
    rows = evaluation()
    rows["identity"]["sets"]["test"] = "9" * 64
    write(home / "rows.json", rows)
    steps = evaluation()
    steps["attacks"]["relearned"]["steps"] = 9
    write(home / "steps.json", steps)
    assert main(["compare", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("speu: error: ")
    assert message in lines[0]
    assert all(line.startswith("hint: ") for line in lines[1:])


def test_hostile_names_reach_no_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home / "\x1b[31m.json", evaluation("5"))
    assert main(["compare", "a.json", "\x1b[31m.json", "\u202eb=b.json"]) == 0
    assert main(["compare", "\x1b[31m=nothing\x1b.json"]) == 2
    out, err = capsys.readouterr()
    assert not {"\x1b", "\u202e"} & set(out + err)
    assert "\\x1b[31m" in out


def test_it_does_without_torch(home: Path) -> None:
    script = (
        "import sys; from speu_cli.cli.main import main; "
        "code = main(['compare', 'a.json', '-q']); sys.exit(code or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
