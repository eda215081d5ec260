"""Pipelines from the data to the table: real commands in this process, a tiny encoder, a few rows."""

import contextlib
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
import reproduce
from quality import experiment
from quality.rows import OTHER_SEED
from quality.variants import DEFAULT, DEFAULT_SO, PAPER, PAPER_SO, VARIANTS
from settings import SETTINGS, Size

import tiny
from speu_cli.cli.main import main
from tiny_encoder import tiny_encoder

TINY = replace(
    SETTINGS["smoke"],
    sizes={"sst2": Size(24, 8, 8, 16)},
    draws=1,
    forget=4,
    heldout=8,
    sparsities=(0, 0.5),
    kinds_sparsities=(0.5,),
    further={"sst2": (2,)},
)


def in_process(arguments: tuple[str, ...]) -> dict[str, Any]:
    """As `commands.run`, without starting Python anew."""
    answer = io.StringIO()
    with contextlib.redirect_stdout(answer):
        code = main([*arguments, "--json"])
    taken: dict[str, Any] = {"process_seconds": 1.0, "process_peak_bytes": 2**29}
    if code == commands.NO_SAFE_STEP:
        return {commands.REFUSED: True, **taken}
    assert code == 0, arguments
    return {"result": json.loads(answer.getvalue()), **taken}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "data" / "sst2").mkdir(parents=True)
    for name, seed, count in (("train", 0, 40), ("dev", 1, 8)):
        text = "".join(json.dumps(row) + "\n" for row in tiny.tiny_rows(count, seed=seed))
        (folder / "data" / "sst2" / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    tiny_encoder(folder / "encoder")
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, ...]]]:
    """What was run, in order."""
    made: list[tuple[str, ...]] = []

    def noted(arguments: tuple[str, ...]) -> dict[str, Any]:
        made.append(arguments)
        return in_process(arguments)

    monkeypatch.setattr(commands, "run", noted)
    monkeypatch.setitem(SETTINGS, "smoke", TINY)
    monkeypatch.setenv("SPEU_DEVICE", "cpu")
    yield made


def reproduced(home: Path, target: str, *more: str) -> tuple[str, list[dict[str, Any]]]:
    """The Markdown and the rows of a target."""
    output = home / "".join((target, *more))
    options = ["--setting", "smoke", "--data", str(home / "data"), "--work", str(home / "work")]
    told = ["--encoder", str(home / "encoder"), "-o", str(output), *more]
    assert reproduce.main([target, *options, *told]) == 0
    rows: list[dict[str, Any]] = json.loads(next(output.glob("*.json")).read_text())["rows"]
    return next(output.glob("*.md")).read_text(), rows


def test_a_table_is_made_once_and_its_models_serve_the_others(
    home: Path, calls: list[tuple[str, ...]]
) -> None:
    text, rows = reproduced(home, "table5")
    assert {(row["method"], row["draw"]) for row in rows} >= {("RT", "a"), ("SPE-SO", "a"), ("GD", "a")}
    assert "| SPE-SO, RT's loss |" in text
    commands_run = [call[0] for call in calls]
    assert commands_run.count("train") == 1 + TINY.draws
    assert commands_run.count("fisher") == 1

    calls.clear()
    again, _ = reproduced(home, "table5")
    assert calls == []
    assert again == text

    _, points = reproduced(home, "figure2")
    assert "train" not in {call[0] for call in calls}
    assert {row["sparsity"] for row in points if "sparsity" in row} == set(TINY.sparsities)
    assert {path.suffix for path in (home / "figure2").iterdir()} == {".json", ".md", ".svg", ".png"}
    models = {path.name for path in (home / "work/smoke/MiniLM/sst2").iterdir() if path.is_dir()}
    assert models == {"original", "retrained-a"}


def test_a_step_for_a_figure_ends_at_the_retrained_models_loss(
    home: Path, calls: list[tuple[str, ...]]
) -> None:
    _, rows = reproduced(home, "figure3")
    aim = {row["draw"]: row["loss"] for row in rows if row["method"] == "RT"}
    asked = [call for call in calls if call[0] == "unlearn"]
    assert {float(call[call.index("--target-loss") + 1]) for call in asked} == set(aim.values())
    assert {call[call.index("--kinds") + 1] for call in asked} >= {"heads", "filters"}
    assert {call[call.index("--recipe") + 1] for call in asked} == {"paper"}


def test_requests_follow_each_other_in_each_way(home: Path, calls: list[tuple[str, ...]]) -> None:
    _, rows = reproduced(home, "figure4")
    served = [call for call in calls if call[:2] == ("unlearn", "--state")]
    assert len(served) == 4 * TINY.draws * TINY.requests
    assert {row["method"] for row in rows} >= {"free SO", "aided SPE-SO", "RT", "original"}
    calls.clear()
    text, _ = reproduced(home, "table1")
    assert calls == []
    assert "free SO" in text
    assert "aided" not in text


def test_recipes_are_compared_on_every_draw(
    home: Path, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (PAPER_SO, PAPER, DEFAULT_SO, DEFAULT)
    chosen = [one for one in VARIANTS if one in kept or one.directions == "auto"]
    monkeypatch.setattr(experiment, "VARIANTS", chosen)
    text, rows = reproduced(home, "quality")
    of_draws = {(row["method"], row["draw"]) for row in rows if row["part"] == "draws"}
    assert {(one.name, "a") for one in kept} <= of_draws
    of_further = {method for method, draw in of_draws if draw == "2"}
    assert of_further & {one.name for one in kept} == {PAPER.name, DEFAULT.name}
    others = {one.name for one in chosen} - {one.name for one in kept}
    assert {(method, draw) for method, draw in of_draws if method in others} == {
        (name, "a") for name in others
    }
    assert {draw for method, draw in of_draws if method == OTHER_SEED} == {"a"}
    ends = [row for row in rows if row["part"] == "ends"]
    assert {row["line"] for row in ends} > {PAPER_SO.name, PAPER.name, "paper, random mask"}
    assert all(0 <= row["class_shift"] <= 1 for row in ends if "refused" not in row)
    assert "| gap of the worst draw at most 2.0 |" in text
    served = [call for call in calls if call[0] == "unlearn"]
    statistics = {Path(call[call.index("--fisher") + 1]).stem for call in served}
    assert statistics == {"fisher", "fisher-directions"}
    assert {path.name.split("quality-smoke")[1] for path in (home / "quality").iterdir()} >= {
        ".json",
        ".md",
        "-gaps.svg",
        "-ends.svg",
    }
    models = {path.name for path in (home / "work/smoke/MiniLM/sst2").iterdir() if path.is_dir()}
    assert models >= {"original", "retrained-a", "retrained-seed-1-a", "retrained-2"}
    assert not any(name.startswith(("paper", "default")) for name in models)

    calls.clear()
    again, _ = reproduced(home, "quality")
    assert calls == []
    assert again == text
    _, named = reproduced(home, "quality", "--variants", "paper", "default")
    assert calls == []
    methods = {row["method"] for row in named if row["part"] == "draws"}
    assert methods == {"original", "RT", OTHER_SEED, PAPER.name, DEFAULT.name}


def test_what_is_missing_is_told(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--work", str(tmp_path), "--encoder", str(home / "encoder")]
    assert reproduce.main(["table5", *options]) == 2
    assert "DATA is not given" in capsys.readouterr().err
    assert reproduce.main(["table2", "--data", str(home / "data"), *options]) == 2
    assert "mnli/train.jsonl.gz is not there" in capsys.readouterr().err
    assert reproduce.main(["table10", "--data", str(home / "data"), *options]) == 2
    assert "full.jsonl.gz" in capsys.readouterr().err
