"""The report of real evaluations, of models that were made here."""

import json
import re
import shutil

import jsonschema
import pytest

from speu_cli import evaluate, fisher, mask, unlearn
from speu_cli.cli.output import as_json
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from speu_cli.evaluation.report.schema import eval_schema
from speu_cli.stages.report import ReportFiles, check_mask, check_report, report_contents, write_report
from tiny import tiny_checkpoint, tiny_rows, write_ids, write_rows

ROWS, FORGET = 24, 4
NAMES = [
    *("losses-forget", "losses-remaining", "losses-test", "mask-filters", "mask-heads"),
    *("membership", "movement"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    tiny_checkpoint(folder / "model")
    write_rows(folder / "train.jsonl", tiny_rows(ROWS))
    write_rows(folder / "test.jsonl", tiny_rows(12, seed=1))
    write_ids(folder / "ids.txt", [row["id"] for row in tiny_rows(FORGET)])
    data, ids = str(folder / "train.jsonl"), str(folder / "ids.txt")
    fisher(folder / "model", data, folder / "fisher")
    unlearn(folder / "model", folder / "fisher", data, ids, folder / "new", rate=1e-4, sparsity=0.5)
    return folder


@pytest.fixture(scope="module")
def result(home):
    sets = [str(home / name) for name in ("train.jsonl", "ids.txt", "test.jsonl")]
    return evaluate(home / "new", *sets, original=home / "model", require=["testing_accuracy>=0"])


def files_in(folder, **more):
    return ReportFiles(folder / "page.html", folder / "page.md", folder / "figures", **more)


def test_everything_is_written(home, result, tmp_path):
    files = files_in(tmp_path)
    check_report(files, [home / "new"])
    write_report(files, result, home / "new", home / "model")
    page = files.html.read_text()
    for row in tiny_rows(FORGET):
        assert row["id"] in page
        assert row["text"] not in page
    record = json.loads((home / "new" / "speu.json").read_text())
    assert record["model_after"]["weights"] in page
    assert files.markdown.read_text().startswith("# What the model still knows")
    written = sorted(path.name for path in files.figures.iterdir())
    assert written == sorted(f"{name}.{kind}" for name in NAMES for kind in ("png", "svg"))


def test_the_mask_of_the_report_is_that_of_the_checkpoint(home, result):
    contents = report_contents(result, home / "new", home / "model", mask=None, show_text=False)
    counts = {"heads": 0, "filters": 0}
    for key, flags in contents.known.selected.items():
        counts[key.partition("/")[0]] += int(flags.sum())
    assert counts == {kind: part for kind, (part, _) in contents.record["selected"].items()}


def test_weights_moved_in_units_of_the_mask_alone(home, result):
    contents = report_contents(result, home / "new", home / "model", mask=None, show_text=False)
    moved = {one.kind for one in contents.known.movement if one.distance}
    assert moved
    assert all(re.search(r"attention|intermediate|output", kind) for kind in moved)
    assert not {one.distance for one in contents.known.movement if one.layer is None} - {0.0}


def test_a_model_of_which_nothing_is_known(home, result, tmp_path):
    files = files_in(tmp_path)
    write_report(files, result, home / "model", None)
    page = files.html.read_text()
    assert "How this model was made is not recorded beside it." in page
    assert "The mask is not known" in page
    assert not (files.figures / "movement.png").exists()


def test_another_mask_is_refused(home, result, tmp_path):
    data, ids = str(home / "train.jsonl"), str(home / "ids.txt")
    unlearn(home / "new", _fisher_of_new(home, tmp_path), data, ids, tmp_path / "third", rate=1e-4)
    other = tmp_path / "third" / "speu-mask.safetensors"
    with pytest.raises(ArtifactError, match="is not the mask"):
        report_contents(result, home / "new", None, mask=other, show_text=False)


def test_another_mask_is_refused_before_anything_is_measured(home, tmp_path):
    other = tmp_path / "mask"
    mask(home / "new", _fisher_of_new(home, tmp_path), other)
    with pytest.raises(ArtifactError, match="is not the mask"):
        check_mask(ReportFiles(html=tmp_path / "page.html", mask=other), home / "new")
    check_mask(ReportFiles(html=tmp_path / "page.html"), home / "new")


def _fisher_of_new(home, folder):
    fisher(home / "new", str(home / "train.jsonl"), folder / "fisher")
    return folder / "fisher"


def test_a_damaged_mask_is_refused(home, result, tmp_path):
    damaged = tmp_path / "mask"
    content = bytearray((home / "new" / "speu-mask.safetensors").read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ArtifactError, match="corrupt"):
        report_contents(result, home / "new", None, mask=damaged, show_text=False)


def test_another_model_before_is_said(home, result, tmp_path):
    other = tiny_checkpoint(tmp_path / "other", outputs=3)
    contents = report_contents(result, home / "new", other, mask=None, show_text=False)
    assert contents.known.movement is None
    assert contents.known.why_no_movement.startswith("The weights could not be compared: 'classifier")


@pytest.mark.parametrize("name", ["page.html", "page.md", "figures"])
def test_existing_outputs_are_refused_without_force(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name == "figures" else path.touch()
    with pytest.raises(OutputExistsError):
        check_report(files_in(tmp_path), [])
    check_report(files_in(tmp_path, force=True), [])


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        check_report(files_in(tmp_path, force=True), [])


def test_outputs_are_neither_inputs_nor_each_other(tmp_path):
    with pytest.raises(InputError, match="would replace the input"):
        check_report(ReportFiles(html=tmp_path / "a"), [tmp_path / "a"])
    with pytest.raises(InputError, match="would replace the input"):
        check_report(ReportFiles(html=tmp_path / "a", markdown=tmp_path / "a"), [])


@pytest.mark.parametrize("more", [{"force": True}, {"show_text": True}])
def test_options_of_a_report_without_one_are_refused(more):
    with pytest.raises(InputError, match="none was asked for"):
        check_report(ReportFiles(**more), [])


def test_a_failed_report_leaves_what_was_there(home, result, tmp_path):
    files = files_in(tmp_path, force=True)
    files.html.write_text("before")
    shutil.copytree(home / "new", tmp_path / "new")
    (tmp_path / "new" / "speu.json").write_text("{")
    with pytest.raises(ArtifactError):
        write_report(files, result, tmp_path / "new", None)
    assert files.html.read_text() == "before"


def test_what_is_published_follows_the_schema(result):
    jsonschema.validate(json.loads(json.dumps(as_json(result.as_json()))), eval_schema())
