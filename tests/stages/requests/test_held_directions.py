"""Requests that hold directions: the sums of the forgotten have these too."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from serving import FIXED, begin, distance, home_with_statistics, request

from memorised import Home
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.errors import ArtifactError
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.requests.start import StepChoice
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.stages.unlearn import Method
from speu_cli.statistics.files import read_statistics
from speu_cli.unlearning.requests.forgotten import read_forgotten

SAMPLE = 25


def holding(stiffness: float) -> StepChoice:
    return StepChoice(rate=1e-4, max_overshoot=100, stiffness=stiffness)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Statistics with a direction for each class."""
    collection = CollectionChoice(directions="auto", direction_examples=SAMPLE)
    return home_with_statistics(tmp_path_factory.mktemp("held"), collection)


@pytest.mark.parametrize("method", ["spe-so", "so"])
@pytest.mark.parametrize("stiffness", [1.0, math.inf])
def test_any_steps_in_any_order_give_the_model_of_one_shot(
    held: Home, tmp_path: Path, method: Method, stiffness: float
) -> None:
    """Law 7."""
    ids = [row["id"] for row in held.rows("train.jsonl")][:18]
    models = {}
    for name, parts in {"whole": [ids], "parts": [ids[7:10], ids[:1], ids[10:], ids[1:7]]}.items():
        (tmp_path / name).mkdir()
        state = begin(held, tmp_path / name / "state", method, holding(stiffness))
        for number, part in enumerate(parts):
            request(state, part, f"model-{number}")
        models[name] = load_file(tmp_path / name / f"model-{number}" / "model.safetensors")
        assert verify_requests(state).wrong == []
    assert distance(models["parts"], models["whole"]) <= 1e-6
    free = begin(held, tmp_path / "state", method, FIXED)
    request(free, ids, "free")
    other = load_file(tmp_path / "free" / "model.safetensors")
    assert distance(other, models["whole"]) > 1e-3  # what is held makes another step


def test_the_sums_of_the_forgotten_have_directions_only_where_steps_hold_them(
    held: Home, tmp_path: Path
) -> None:
    ids = [row["id"] for row in held.rows("train.jsonl")][:9]
    file = read_statistics(held.folder / "fisher.safetensors")
    for name, step in {"held": holding(2.0), "free": FIXED}.items():
        (tmp_path / name).mkdir()
        state = begin(held, tmp_path / name / "state", step=step)
        request(state, ids, "model")
        (path,) = state.glob("forgotten-*.safetensors")
        artifact = read_artifact(path, "forgotten")
        there = any(tensor.startswith("direction") for tensor in artifact.tensors)
        assert there == (name == "held")
        sums = read_forgotten(path, artifact.digest, file.model, file.statistics)
        assert len(sums.counted.direction_weights) == (2 if there else 0)
        recorded = json.loads((state / "state.json").read_text())["method"]["step"]
        assert recorded.get("stiffness") == (2.0 if there else None)


def test_sums_whose_directions_do_not_fit_are_refused(held: Home, tmp_path: Path) -> None:
    state = begin(held, tmp_path / "state", step=holding(2.0))
    request(state, [row["id"] for row in held.rows("train.jsonl")][:3], "model")
    (path,) = state.glob("forgotten-*.safetensors")
    artifact = read_artifact(path, "forgotten")
    file = read_statistics(held.folder / "fisher.safetensors")
    record = {
        name: value
        for name, value in artifact.record.items()
        if name in {"model", "inputs", "counts", "versions"}
    }
    tensors = artifact.tensors | {"direction_weights": torch.ones(3, dtype=torch.float64)}
    digest = write_artifact(tmp_path / "forged", "forgotten", record, tensors, force=False)
    with pytest.raises(ArtifactError, match="'direction_weights' is misshapen"):
        read_forgotten(tmp_path / "forged", digest, file.model, file.statistics)


def test_an_infinite_stiffness_is_settled_and_read_again(held: Home, tmp_path: Path) -> None:
    state = begin(held, tmp_path / "state", step=holding(math.inf))
    request(state, [row["id"] for row in held.rows("train.jsonl")][:3], "model")
    assert json.loads((state / "state.json").read_text())["method"]["step"]["stiffness"] == "inf"
    assert '"stiffness":"inf"' in (state / "ledger.jsonl").read_text().replace(" ", "")


def test_memory_free_requests_sum_directions_of_what_remains(held: Home, tmp_path: Path) -> None:
    ids = [row["id"] for row in held.rows("train.jsonl")][:6]
    models = []
    for name, step in {"held": holding(math.inf), "free": FIXED}.items():
        (tmp_path / name).mkdir()
        state = begin(held, tmp_path / name / "state", step=step, mode="free")
        request(state, ids[:3], "first")
        request(state, ids[3:], "second")
        models.append(load_file(tmp_path / name / "second" / "model.safetensors"))
    assert distance(*models) > 1e-4


@pytest.mark.parametrize("mode", ["aided", "free"])
def test_statistics_without_directions_are_refused(home: Home, tmp_path: Path, mode: str) -> None:
    with pytest.raises(ArtifactError, match="holds no directions, expected some for --hold-directions"):
        begin(home, tmp_path / "state", step=holding(1.0), mode="free" if mode == "free" else "aided")
    assert not (tmp_path / "state").exists()
