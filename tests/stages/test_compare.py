"""``speu_cli.compare``: files in, models and files out."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from evaluated import evaluation, write

import speu_cli
from speu_cli.cli.output import as_json
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from speu_cli.evaluation.runs.schema import compare_schema
from speu_cli.stages.compare import ComparisonFiles, check_comparison, write_comparison

MADE = {"output": "a", "dry_run": False, "seconds": 2.5, "forget_examples": 12, "method": "spe-so"}


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    return {
        "a": write(tmp_path / "a.json", evaluation("3")),
        "b": write(tmp_path / "b.json", evaluation("4", unlearning_accuracy=0.1)),
    }


@pytest.mark.parametrize("references", [0, 1, 2])
def test_what_is_printed_follows_the_schema_which_names_all_fields(tmp_path: Path, references: int) -> None:
    run = write(tmp_path / "a.json", evaluation(references=references))
    printed = json.loads(json.dumps(as_json(speu_cli.compare({"a": run}))))
    jsonschema.Draft202012Validator.check_schema(compare_schema())
    jsonschema.validate(printed, compare_schema())
    assert set(printed) == set(compare_schema()["required"])
    assert set(printed["models"][0]) == set(compare_schema()["$defs"]["model"]["required"])


def test_times_are_those_of_the_results(runs: dict[str, Path], tmp_path: Path) -> None:
    made = {
        "a": write(tmp_path / "unlearn.json", MADE),
        "reference": write(tmp_path / "train.json", {"output": "r", "seconds": 60, "excluded": 12}),
    }
    result = speu_cli.compare(runs, made=made)
    times = {model.name: model.seconds for model in result.models}
    assert times == {"original": None, "reference": 60.0, "a": 2.5, "b": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dry_run": True}, "of a --dry-run"),
        ({"seconds": -1}, "seconds is -1"),
        ({"seconds": None}, "seconds is nan"),
        ({"seconds": "long"}, "expected a finite number"),
        ({"forget_examples": 13}, "forget_examples is 13, but 12"),
        ({"method": "ssd"}, "method is 'ssd', but 'spe-so'"),
        ({"parameters_changed": 99}, "parameters_changed is 99, but 100"),
    ],
)
def test_times_of_something_else_are_refused(
    runs: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "unlearn.json", {**MADE, **change})
    with pytest.raises(ArtifactError, match=message):
        speu_cli.compare(runs, made={"a": path})


def test_a_time_of_nobody_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    path = write(tmp_path / "unlearn.json", MADE)
    with pytest.raises(
        InputError, match=r"no model is called 'c', expected one of original, reference, a, b"
    ):
        speu_cli.compare(runs, made={"c": path})
    with pytest.raises(ArtifactError, match="not what speu unlearn --json"):
        speu_cli.compare(runs, made={"a": runs["a"]})


@pytest.mark.parametrize("name", ["", "original", "reference", "reference of a", "a" * 65])
def test_names_of_other_rows_are_refused(runs: dict[str, Path], name: str) -> None:
    with pytest.raises(InputError, match="a run is called"):
        speu_cli.compare({name: runs["a"]})


def test_no_run_is_refused() -> None:
    with pytest.raises(InputError, match="no run"):
        speu_cli.compare({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not readable JSON"),
        (b"\xff\xfe\x00", "not readable JSON"),
        (b"{" * 100_000, "not readable JSON"),
        (b"[" * 100_000, "not readable JSON"),
        (b"9" * 10_000, "not readable JSON"),
        (b"[1]", "holds list"),
        (b"<html>", "not readable JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        speu_cli.compare({"a": path})


def test_a_file_that_is_not_there_is_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        speu_cli.compare({"a": tmp_path / "a.json"})
    with pytest.raises(InputError, match="cannot be read"):
        speu_cli.compare({"a": tmp_path})


def test_files_are_written_whole_and_only_over_others_by_force(runs: dict[str, Path], tmp_path: Path) -> None:
    result = speu_cli.compare(runs)
    files = ComparisonFiles(tmp_path / "page.html", tmp_path / "page.md")
    check_comparison(files, list(runs.values()))
    write_comparison(files, result)
    assert files.html is not None
    page = files.html.read_bytes()
    assert page.startswith(b"<!doctype html>")
    assert (tmp_path / "page.md").read_text().startswith("# Unlearned models side by side")
    with pytest.raises(OutputExistsError):
        check_comparison(files, [])
    forced = ComparisonFiles(files.html, files.markdown, force=True)
    check_comparison(forced, [])
    write_comparison(forced, result)
    assert files.html.read_bytes() == page


def test_outputs_are_neither_inputs_nor_each_other(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would replace the input"):
        check_comparison(ComparisonFiles(html=runs["a"], force=True), list(runs.values()))
    same = tmp_path / "x"
    with pytest.raises(InputError, match="would replace the input"):
        check_comparison(ComparisonFiles(same, same), [])
    with pytest.raises(InputError, match="belongs to a file"):
        check_comparison(ComparisonFiles(force=True), [])
