"""The account of a request, and what old sums are good for."""

import json
from pathlib import Path

import pytest
from serving import begin, request

from memorised import Home, snapshot
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from speu_cli.stages.requests.compact import compact_requests
from speu_cli.stages.requests.report import report_requests
from speu_cli.stages.requests.start import WatchChoice
from speu_cli.stages.requests.verify import verify_requests

PARTS = ["What was asked", "What was done", "What it showed", "What it does not prove", "How to check it"]


def served(home: Home, folder: Path) -> Path:
    watch = WatchChoice(home.path("dev.jsonl"), retrain_when=("drift.norm>0",))
    state = begin(home, folder / "state", watch=watch)
    request(state, ["row-0-0", "row-0-1"], "first", request_id="R-1")
    request(state, ["row-0-1", "row-0-2"], "second", request_id="<b>*R*</b> [2](x)")
    return state


def test_an_account_has_all_its_parts_and_no_ids(home: Home, tmp_path: Path) -> None:
    state = served(home, tmp_path)
    result = report_requests(state)
    text = result.markdown()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == 2 * PARTS
    everything = text + json.dumps([account.record() for account in result.requests])
    assert not any(row["id"] in everything or row["text"] in everything for row in home.rows("train.jsonl"))
    first, second = result.requests
    assert first.asked["examples"] == second.asked["examples"] == 2
    assert (first.asked["forgotten_before"], second.asked["forgotten_before"]) == (0, 1)
    assert "1 of them had been forgotten by earlier requests" in text
    assert f"{first.showed['loss_before']:.4f} | {first.showed['loss_after']:.4f}" in text
    assert "Retraining is advised" in text


def test_a_name_is_never_markup(home: Home, tmp_path: Path) -> None:
    text = report_requests(served(home, tmp_path)).markdown()
    assert "<b>" not in text and "*R*" not in text and "](" not in text


def test_records_are_written_as_a_whole(home: Home, tmp_path: Path) -> None:
    state, output = served(home, tmp_path), tmp_path / "records"
    result = report_requests(state, output=output)
    assert sorted(result.files) == sorted(path.name for path in output.iterdir() if path.suffix != ".lock")
    assert {path.parent for path in output.iterdir()} == {output}
    assert json.loads((output / result.files[1]).read_text())["request_id"] == "R-1"
    with pytest.raises(OutputExistsError):
        report_requests(state, output=output)
    (output / "diary.txt").touch()
    with pytest.raises(InputError, match="something else than records"):
        report_requests(state, output=output, force=True)
    (output / "diary.txt").unlink()
    assert report_requests(state, "R-1", output, force=True).files == result.files[:2]
    assert len([path for path in output.iterdir() if path.suffix in {".md", ".json"}]) == 2


def test_an_unknown_request_is_told(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no request 'R-9'"):
        report_requests(served(home, tmp_path), "R-9")


def test_old_sums_go_and_the_state_serves_on(home: Home, tmp_path: Path) -> None:
    state = served(home, tmp_path)
    (state / ".forgotten-000002.safetensors.123.tmp").touch()
    before = snapshot(tmp_path)
    dry = compact_requests(state, dry_run=True)
    assert snapshot(tmp_path) == before
    result = compact_requests(state)
    assert result == dry
    assert result.removed == [
        ".forgotten-000002.safetensors.123.tmp",
        "forgotten-000001.safetensors",
    ]
    assert verify_requests(state).wrong == []
    assert request(state, ["row-0-3"], "third").forgotten_in_all == 4


def test_no_sums_go_where_the_last_are_damaged(home: Home, tmp_path: Path) -> None:
    state = served(home, tmp_path)
    (state / "forgotten-000002.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError):
        compact_requests(state)
    assert (state / "forgotten-000001.safetensors").is_file()
