"""Requirements of ``speu eval``: every outcome with its exit code, on a tiny model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from tiny_tasks import answering, save, write_questions

from memorised import Home, memorised
from speu_cli.cli.main import main
from speu_cli.evaluation.report.schema import eval_schema
from speu_cli.stages import evaluate as stage
from tiny import tiny_checkpoint, write_ids, write_rows

DONE, NOT_MET, OPTIONS, EXISTS, FULL = 0, 1, 2, 5, 7
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = memorised(tmp_path_factory.mktemp("home"))
    tiny_checkpoint(home.folder / "retrained", seed=1)
    return home


def command(home: Home, *more: str, **sets: str) -> list[str]:
    given = {"data": "train.jsonl", "forget": "ids.txt", "test": "test.jsonl"} | sets
    options = [text for name, file in given.items() for text in (f"--{name}", home.path(file))]
    return ["eval", str(home.model), *options, *more, "-q"]


def written(folder: Path, text: str) -> str:
    path = folder / "policy.toml"
    path.write_text(text)
    return str(path)


def cases(path: Path) -> dict[str, list[str]]:
    """Of each test case the names of what is in it."""
    return {
        case.attrib["name"]: [one.tag for one in case] for case in ElementTree.parse(path).iter("testcase")
    }


@pytest.fixture
def no_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_session(*_: Any, **__: Any) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(stage, "open_session", open_session)


def test_all_are_met(home: Home, tmp_path: Path, capsys: Captured) -> None:
    policy = written(
        tmp_path,
        '[[require]]\nmetric = "gap.average"\nat_most = "100 pt"\nwhy = "we said so"\n'
        '[[require]]\nmetric = "loss.forget"\nof = "high"\nbelow = 1000\n',
    )
    junit = tmp_path / "gates.xml"
    gates = ["--require", "testing_accuracy>=0%", "--policy", policy, "--junit", str(junit)]
    assert main(command(home, *gates, "--reference", home.path("retrained"), "--json")) == DONE
    result = json.loads(capsys.readouterr().out)
    jsonschema.validate(result, eval_schema())
    assert result["passed"]
    expressions = ["gap.average<=100 pt", "loss.forget.high<1000", "testing_accuracy>=0%"]
    assert [gate["expression"] for gate in result["gates"]] == expressions
    assert [gate["why"] for gate in result["gates"]] == ["we said so", None, None]
    assert result["gates"][1]["value"] == result["model"]["loss.forget"]["high"]
    assert result["definitions"]["loss.forget"]["range"] == [0, None]
    assert result["definitions"]["gap.average"]["unit"] == "points"
    assert set(result["definitions"]) == {*result["model"], *result["gaps"]}
    assert cases(junit) == {expression: ["system-out"] for expression in expressions}
    (suite,) = ElementTree.parse(junit).getroot()
    assert float(suite.attrib["time"]) == pytest.approx(result["seconds"], abs=1e-3)


def test_one_is_not_met(home: Home, tmp_path: Path, capsys: Captured) -> None:
    policy = written(tmp_path, '[[require]]\nmetric = "loss.forget"\nat_least = 999\nwhy = "we said so"\n')
    junit = tmp_path / "gates.xml"
    gates = ["--require", "testing_accuracy<=100%", "--policy", policy, "--junit", str(junit)]
    assert main(command(home, *gates)) == NOT_MET
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines[0].startswith("NOT MET  loss.forget>=999: ")
    assert lines[0].endswith(" is not >= 999.0 (we said so)")
    assert lines[1].startswith("met      testing_accuracy<=100%: ")
    assert cases(junit) == {"loss.forget>=999": ["failure"], "testing_accuracy<=100%": ["system-out"]}


def test_what_cannot_be_computed_is_not_met(home: Home, tmp_path: Path, capsys: Captured) -> None:
    """One forgotten example, of a class that no test example has."""
    rows = home.rows("train.jsonl")
    of_class_one = next(row["id"] for row in rows if row["label"] == 1)
    write_ids(home.folder / "one.txt", [of_class_one])
    write_rows(home.folder / "zero.jsonl", [row | {"label": 0} for row in home.rows("test.jsonl")])
    junit = tmp_path / "gates.xml"
    gates = ("loss.forget.low>=0", "membership.entropy.auc<=1", "loss.forget>=0")
    options = [text for gate in gates for text in ("--require", gate)]
    outputs = ["--junit", str(junit), "--json"]
    assert main(command(home, *options, *outputs, forget="one.txt", test="zero.jsonl")) == NOT_MET
    no_interval, nan, met = json.loads(capsys.readouterr().out)["gates"]
    assert "has no interval here" in no_interval["reason"]
    assert nan["reason"] == "membership.entropy.auc could not be computed"
    assert [one["value"] is None for one in (no_interval, nan, met)] == [True, True, False]
    assert [one["passed"] for one in (no_interval, nan, met)] == [False, False, True]
    assert cases(junit) == dict(zip(gates, (["error"], ["error"], ["system-out"]), strict=True))


def test_what_the_data_do_not_lead_to_is_not_met(tmp_path: Path, capsys: Captured) -> None:
    """A threshold of having no answer, where all questions have one."""
    save(tmp_path / "model", answering())
    data = write_questions(tmp_path / "data.jsonl", 8, longest=12, unanswerable=False)
    ids = str(write_ids(tmp_path / "ids.txt", ["q-0-0", "q-0-1"]))
    sets = ["--data", data, "--forget", ids, "--test", data]
    assert main(["eval", str(tmp_path / "model"), *sets, "--require", "best_f1.test>=0", "-q"]) == NOT_MET
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "NOT MET  best_f1.test>=0: no metric best_f1.test was computed"


REFUSED = {
    "an unknown metric": (["--require", "testing_acuracy>=0.8"], "did you mean testing_accuracy"),
    "no gate": (["--require", "testing_accuracy"], "expected METRIC OP NUMBER"),
    "another unit": (["--require", "testing_accuracy>=84pt"], "which 'pt' does not fit"),
    "a bound out of range": (["--require", "testing_accuracy>=84"], "lies in 0 … 1"),
    "never an interval": (["--require", "gap.average.low>=0"], "never has an interval"),
    "no reference": (["--require", "gap.average<=2"], "gap.average needs --reference"),
    "one reference": (["--require", "noise.average<=2", "--reference", "R"], "needs a second --reference"),
    "no attack": (["--require", "attack.int8.loss.forget>=0"], "needs --quantize int8"),
    "another attack": (
        ["--require", "attack.int8.loss.forget>=0", "--quantize", "int4"],
        "needs --quantize int8",
    ),
    "no original": (["--require", "attack.relearn.steps>=1", "--relearn", "1"], "needs --original"),
    "another task": (["--require", "rouge_l.test>=0"], "is of causal-lm, but the task is classification"),
    "no policy": (["--policy", "missing.toml"], "missing.toml: no such file"),
    "junit of nothing": (["--junit", "gates.xml"], "there are none"),
    "force of nothing": (["--require", "loss.test>=0", "--force"], "--force replaces files"),
    "a mask of no report": (
        ["--require", "loss.test>=0", "--junit", "gates.xml", "--mask", "m"],
        "belong to a report",
    ),
}


@pytest.mark.usefixtures("no_model_is_loaded")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_a_model_is_loaded(
    case: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    options, message = REFUSED[case]
    refused(
        command(home, *(home.path("retrained") if one == "R" else one for one in options)), message, capsys
    )


def refused(arguments: list[str], message: str, capsys: Captured, code: int = OPTIONS) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert captured.out == ""
    assert len(captured.err.splitlines()) <= 2


@pytest.mark.usefixtures("no_model_is_loaded")
def test_a_policy_is_named_with_its_entry(home: Home, tmp_path: Path, capsys: Captured) -> None:
    good = '[[require]]\nmetric = "loss.test"\nat_least = 0\n'
    for entry, message in (
        ('metric = "testing_acuracy"\nat_least = 0.8', "no metric 'testing_acuracy'"),
        ('metric = "gap.average"\nat_most = 2', "gap.average needs --reference"),
        ('metric = "testing_accuracy"\nat_leat = 0.8', "no key 'at_leat'"),
    ):
        policy = written(tmp_path, f"{good}[[require]]\n{entry}\n")
        refused(command(home, "--policy", policy), message, capsys)
        assert main(command(home, "--policy", policy)) == OPTIONS
        assert f"{policy}, requirement 2: " in capsys.readouterr().err


def makes_a_file(path: Path) -> None:
    path.write_text("before")


JUNIT: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "it exists": (makes_a_file, EXISTS, "output exists"),
    "it is a folder": (Path.mkdir, OPTIONS, "is a folder, expected a file"),
}


@pytest.mark.usefixtures("no_model_is_loaded")
@pytest.mark.parametrize("case", JUNIT)
def test_a_junit_file_that_cannot_be_written_is_refused_first(
    case: str, home: Home, tmp_path: Path, capsys: Captured
) -> None:
    before, code, message = JUNIT[case]
    before(tmp_path / "gates.xml")
    gate = ["--require", "loss.test>=0", "--junit"]
    refused(command(home, *gate, str(tmp_path / "gates.xml")), message, capsys, code)
    refused(command(home, *gate, str(tmp_path / "no" / "gates.xml")), "no folder", capsys)


@pytest.mark.usefixtures("no_model_is_loaded")
def test_a_junit_file_replaces_no_input_and_no_report(home: Home, tmp_path: Path, capsys: Captured) -> None:
    policy = written(tmp_path, '[[require]]\nmetric = "loss.test"\nat_least = 0\n')
    same = str(tmp_path / "same")
    for junit, more in ((policy, []), (home.path("train.jsonl"), []), (same, ["--html", same])):
        options = ["--policy", policy, "--junit", junit, "--force", *more]
        refused(command(home, *options), "would replace the input", capsys)
    assert Path(policy).read_text().startswith("[[require]]")


def test_force_replaces_it(home: Home, tmp_path: Path) -> None:
    junit = tmp_path / "gates.xml"
    junit.write_text("before")
    gate = ["--require", "loss.test>=999", "--junit", str(junit), "--force"]
    assert main(command(home, *gate)) == NOT_MET
    assert cases(junit) == {"loss.test>=999": ["failure"]}


def test_a_disk_that_is_full_costs_no_measurement(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def full(*_: Any, **__: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("speu_cli.stages.requirements.junit", full)
    gate = ["--require", "loss.test>=0", "--junit", str(tmp_path / "gates.xml")]
    assert main(command(home, *gate)) == FULL
    assert "met      loss.test>=0" in capsys.readouterr().out
    assert list(tmp_path.glob("gates*")) == []
