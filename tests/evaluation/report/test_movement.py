import json

import pytest
import torch
from safetensors.torch import save_file

from oracles.movement import relative_distance
from speu_cli.errors import ArtifactError
from speu_cli.evaluation.report.movement import movements

NAMES = {
    "bert.embeddings.word.weight": (6, 4),
    "bert.encoder.layer.0.attention.query.weight": (4, 4),
    "bert.encoder.layer.0.attention.query.bias": (4,),
    "bert.encoder.layer.1.experts.0.up.weight": (5, 4),
    "bert.encoder.layer.1.experts.1.up.weight": (5, 4),
}


def weights(seed):
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draw) for name, shape in NAMES.items()}


def save(folder, tensors, *, shards=1):
    folder.mkdir()
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    place = {name: f"part-{number % shards}.safetensors" for number, name in enumerate(tensors)}
    for file in set(place.values()):
        save_file({name: tensors[name] for name in tensors if place[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    return folder


@pytest.mark.parametrize("shards", [1, 2])
def test_movements_are_those_of_the_oracle(tmp_path, shards):
    after, before = weights(0), weights(1)
    found = movements(save(tmp_path / "a", after, shards=shards), save(tmp_path / "b", before))
    modules = {
        (0, "attention.query"): ["layer.0.attention.query.weight", "layer.0.attention.query.bias"],
        (1, "experts.*.up"): ["layer.1.experts.0.up.weight", "layer.1.experts.1.up.weight"],
        (None, "bert.embeddings.word"): ["embeddings.word.weight"],
    }
    assert [(one.layer, one.kind) for one in found] == list(modules)
    for one, endings in zip(found, modules.values(), strict=True):
        flat = [
            [x for name in NAMES if name.endswith(tuple(endings)) for x in side[name].flatten().tolist()]
            for side in (after, before)
        ]
        assert one.relative == pytest.approx(relative_distance(*flat), rel=1e-10)


def test_pieces_do_not_matter(tmp_path, monkeypatch):
    folders = save(tmp_path / "a", weights(0)), save(tmp_path / "b", weights(1))
    whole = [one.relative for one in movements(*folders)]
    monkeypatch.setattr("speu_cli.evaluation.report.movement._PIECE", 3)
    assert [one.relative for one in movements(*folders)] == pytest.approx(whole, rel=1e-12)


def test_the_same_model_has_not_moved(tmp_path):
    folders = save(tmp_path / "a", weights(0)), save(tmp_path / "b", weights(0), shards=2)
    assert {one.distance for one in movements(*folders)} == {0.0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensors: tensors.popitem(), "other weights"),
        (lambda tensors: tensors.update({"bert.embeddings.word.weight": torch.ones(2)}), "shape"),
    ],
)
def test_other_models_are_refused(tmp_path, change, told):
    other = weights(1)
    change(other)
    with pytest.raises(ArtifactError, match=told):
        movements(save(tmp_path / "a", weights(0)), save(tmp_path / "b", other))


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": {"a": "../other.safetensors"}}'])
def test_damaged_folders_are_refused(tmp_path, index):
    folder = save(tmp_path / "a", weights(0))
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ArtifactError, match="holds no readable"):
        movements(folder, folder)
    with pytest.raises(ArtifactError, match="holds no readable"):
        movements(tmp_path / "none", folder)
