"""``speu fisher --dry-run``: what it says is what a run writes, and it writes nothing itself."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import speu_cli
from memorised import snapshot
from speu_cli import ArtifactError, InputError, Runtime
from speu_cli.cli.main import main
from speu_cli.errors import ResourceError
from speu_cli.stages import plan as stage
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.plan import FisherPlan, plan
from speu_cli.statistics import calibration
from speu_cli.statistics.calibration import Calibration
from tiny import FAMILIES, tiny_checkpoint, tiny_rows, tiny_tokenizer, write_ids, write_rows

ROWS, OTHERS, MANY_FILTERS = 60, 7, 4100
RESOURCES = 7


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "LEAST_SECONDS", 0.01)


def made(folder: Path, family: str = "bert") -> Path:
    """A model, its training set, a held-out set, id lists and a mask."""
    tiny_checkpoint(folder / "model", family)
    rows = tiny_rows(ROWS, pairs=True)
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "others.jsonl", tiny_rows(OTHERS, seed=1, pairs=True))
    write_ids(folder / "ids", [row["id"] for row in rows[:40]])
    write_ids(folder / "exclude", [row["id"] for row in rows[10:13]])
    speu_cli.fisher(folder / "model", str(folder / "rows.jsonl"), folder / "full")
    speu_cli.mask(folder / "model", folder / "full", folder / "mask", sparsity=0.5)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("home"), request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("bert"))


def planned(folder: Path, **options: Any) -> FisherPlan:
    found = plan(folder / "model", str(folder / "rows.jsonl"), **options)
    assert found is not None
    return found


OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "all": {"collection": {"scope": "all"}},
    "only mask": {"collection": {"only": "mask"}},
    "slices": {"collection": {"mask": "mask"}},
    "directions": {"collection": {"directions": "auto", "direction_examples": 9}},
    "directions of slices": {"collection": {"directions": 3, "mask": "mask"}},
    "shard": {"shard": "2/7"},
    "sample of D": {"max_examples": 11, "seed": 5},
    "ids": {"ids": "ids", "exclude": "exclude", "holdout": "others.jsonl"},
    "bfloat16": {"runtime": Runtime(dtype="bfloat16", batch_tokens=64)},
}


def options_in(folder: Path, name: str) -> dict[str, Any]:
    options = dict(OPTIONS[name])
    for one in ("ids", "exclude", "holdout"):
        if one in options:
            options[one] = str(folder / options[one])
    if "collection" in options:
        given = dict(options["collection"])
        if "mask" in given:
            given["mask"] = folder / given["mask"]
        options["collection"] = CollectionChoice(**given)
    return options


@pytest.mark.parametrize("name", OPTIONS)
def test_the_file_is_as_large_as_was_said(name: str, home: Path, tmp_path: Path) -> None:
    options = options_in(home, name)
    found = planned(home, **options)
    real = speu_cli.fisher(home / "model", str(home / "rows.jsonl"), tmp_path / "f", **options)
    assert real is not None
    assert found.bytes == real.bytes == (tmp_path / "f").stat().st_size
    for same in ("examples", "used", "tokens", "shard", "processes", "batch_tokens"):
        assert getattr(found, same) == getattr(real, same), same
    assert 0 < found.seconds < float("inf")
    assert found.tokens_per_second == pytest.approx(found.tokens / found.seconds)


@pytest.mark.parametrize("sample", [5, 1000])
@pytest.mark.parametrize("shard", [None, "1/2"])
def test_the_file_of_a_layer_with_many_filters(sample: int, shard: str | None, tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=64,
        pad_token_id=1,
        num_hidden_layers=1,
        num_attention_heads=2,
        hidden_size=8,
        intermediate_size=MANY_FILTERS,
        max_position_embeddings=40,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer("bert").save_pretrained(tmp_path / "model")
    write_rows(tmp_path / "rows.jsonl", tiny_rows(ROWS))
    options: dict[str, Any] = {"collection": CollectionChoice(sample=sample), "shard": shard}
    found = planned(tmp_path, **options)
    real = speu_cli.fisher(tmp_path / "model", str(tmp_path / "rows.jsonl"), tmp_path / "f", **options)
    assert real is not None
    assert found.bytes == real.bytes
    assert found.memory.sample <= min(sample, found.used) * MANY_FILTERS * 4
    assert (found.memory.sample > 0) or shard  # a shard may have none of the sample


def test_no_weights_are_needed(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert / "model", tmp_path / "model")
    shutil.copy(bert / "rows.jsonl", tmp_path)
    whole = planned(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    bare = planned(tmp_path)
    measured = {"seconds": 0.0, "tokens_per_second": 0.0, "calibration": None, "memory_free": 0}
    assert replace(bare, **measured) == replace(whole, **measured)  # type: ignore[arg-type]
    assert bare.bytes == (bert / "full").stat().st_size


def test_time_grows_with_the_examples_and_the_sums_do_not(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "calibrate", lambda *_, **__: Calibration(2, 1, 10, 1.0, 1e9))
    half, whole = planned(bert, shard="1/2"), planned(bert)
    assert whole.seconds == pytest.approx(whole.operations / 1e9)
    assert whole.seconds / half.seconds == pytest.approx(2, rel=0.1)
    assert whole.memory.statistics == half.memory.statistics == whole.kept_bytes


def test_a_part_takes_less(bert: Path) -> None:
    whole, only, slices = (
        planned(bert, **options_in(bert, name)) for name in ("default", "only mask", "slices")
    )
    for part in (only, slices):
        assert part.memory.statistics < whole.memory.statistics
        assert part.operations < whole.operations
        assert part.memory_bytes < whole.memory_bytes
    assert only.entries == 0 < slices.entries < whole.entries < whole.parameters


def test_nothing_is_written_and_an_output_that_is_there_does_not_matter(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in bert.iterdir()), snapshot(bert)
    command = ["fisher", str(bert / "model"), "--data", str(bert / "rows.jsonl"), "--dry-run"]
    for output in (bert / "full", bert / "new", bert / "no such folder" / "new"):
        capfd.readouterr()
        assert main([*command, "-o", str(output), "--json"]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        told = json.loads(out)
        assert told["bytes"] == (bert / "full").stat().st_size
        assert told["memory"].keys() == {
            *("weights", "statistics", "sample", "directions", "activations", "workspace")
        }
        assert told["calibration"]["seconds"] > 0
    assert (sorted(path.name for path in bert.iterdir()), snapshot(bert)) == before


@pytest.mark.parametrize("name", ["default", "only mask", "slices"])
def test_it_is_told_to_people(name: str, bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"default": [], "only mask": ["--only", "mask"], "slices": ["--mask", str(bert / "mask")]}[name]
    command = ["fisher", str(bert / "model"), "--data", str(bert / "rows.jsonl"), "-o", "f", "--dry-run"]
    capfd.readouterr()
    assert main([*command, *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    assert facts["output"].strip() == "nothing, this was a dry run"
    assert facts["time"].strip().startswith("about ")
    assert "2 layers of its full width" in facts["estimated from"]
    assert ("mask variables" in facts["sums of"]) == (name == "only mask")
    assert [line.strip().split()[0] for line in out.splitlines() if line.startswith(" ")] == [
        "weights",
        "sums",
        "activations",
        "work",
    ]


class Notes:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def track(self, items: Any, **_: Any) -> Any:
        yield from items

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_too_little_memory_is_told_with_what_takes_less(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "free_memory", lambda _: 1)
    notes = Notes()
    planned(bert, runtime=Runtime(progress=notes))
    [note] = notes.notes
    assert "0.0 GB are free on cpu" in note
    for way in ("--only mask", "--mask", "--batch-tokens", "--dtype bfloat16"):
        assert way in note
    planned(bert, collection=CollectionChoice(only="mask"), runtime=Runtime(progress=notes, dtype="bfloat16"))
    assert "--only" not in notes.notes[1]
    assert "bfloat16" not in notes.notes[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_here_is_refused(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ResourceError, match="not available"):
        planned(bert, runtime=Runtime(device="cuda"))
    command = ["fisher", str(bert / "model"), "--data", str(bert / "rows.jsonl"), "-o", "f", "--dry-run"]
    assert main([*command, "--device", "cuda"]) == RESOURCES
    assert planned(bert, runtime=Runtime(device="auto")).device == "auto"


def test_what_a_run_refuses_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one a shard"):
        planned(bert, shard=f"1/{ROWS + 1}")
    with pytest.raises(ArtifactError, match="expected 'mask'"):
        planned(bert, collection=CollectionChoice(mask=bert / "full"))
    tiny_checkpoint(tmp_path / "model", "llama")
    shutil.copy(bert / "rows.jsonl", tmp_path)
    smaller = json.loads((tmp_path / "model" / "config.json").read_text()) | {"num_hidden_layers": 1}
    (tmp_path / "model" / "config.json").write_text(json.dumps(smaller))
    with pytest.raises(ArtifactError, match="another architecture"):
        planned(tmp_path, collection=CollectionChoice(mask=bert / "mask"))
