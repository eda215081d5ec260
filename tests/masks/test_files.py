"""Mask files with entries inside the units: what is written is read, and nothing else is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from laws import make_case
from speu_cli.artifacts.digest import canonical_json, hash_tensors
from speu_cli.artifacts.format import Record, read_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError
from speu_cli.masks.files import MaskOrigin, read_mask, write_mask
from speu_cli.masks.localization import Localized, MaskSettings
from speu_cli.masks.rearrangement import Rearranged
from speu_cli.masks.within import weights_of, with_wanda
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import Mask

MODEL = ModelIdentity("Model", "a", "b", "c")
Tensors = dict[str, torch.Tensor]
Change = Callable[[Record, Tensors], object]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mask]:
    """A file with entries, and its mask."""
    folder = tmp_path_factory.mktemp("mask")
    case = make_case(folder, count=3)
    mask = Mask(case.layout, {group.key: torch.arange(group.count) % 3 == 0 for group in case.layout})
    draw = torch.Generator().manual_seed(0)
    norms = {
        path: torch.rand(case.model.get_parameter(name).shape[1], generator=draw, dtype=torch.float64)
        for name, path in weights_of(mask, case.model).items()
    }
    mask = with_wanda(mask, case.model, norms, 0.5)
    scores = {group.key: torch.zeros(group.count) for group in case.layout}
    localized = Localized(Rearranged(mask, 0.0, 0.0, 0), scores, has_objective=False)
    asked = MaskSettings(objective="norm", within="wanda:0.5")
    write_mask(folder / "mask", localized, asked, MaskOrigin(MODEL, "0", None), force=False)
    return folder / "mask", mask


def forged(path: Path, folder: Path, change: Change) -> Path:
    """A file after a change, signed again."""
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["speu"])
    tensors = load_file(path)
    change(record, tensors)
    unsigned = {key: value for key, value in record.items() if key != "sha256"}
    record["sha256"] = hash_tensors(tensors, preamble=canonical_json(unsigned))
    save_file(tensors, folder / "forged", metadata={"speu": canonical_json(record)})
    return folder / "forged"


def test_what_is_written_is_read(written: tuple[Path, Mask]) -> None:
    path, mask = written
    found, record = read_mask(path, MODEL, mask.layout)
    assert record["settings"]["objective"] == "norm"
    assert record["settings"]["within"] == "wanda:0.5"
    assert record["objective"] is None
    assert all(torch.equal(found.selected[key], flags) for key, flags in mask.selected.items())
    assert mask.within is not None
    assert found.within is not None
    assert found.within.keys() == mask.within.keys()
    for name, flags in mask.within.items():
        assert found.within[name].dtype == torch.bool
        assert torch.equal(found.within[name], flags)
        assert torch.equal(read_artifact(path).tensors[f"within/{name}"], flags)


def test_a_file_from_before_there_was_a_choice_is_of_mlr(written: tuple[Path, Mask], tmp_path: Path) -> None:
    path, mask = written

    def former(record: Record, tensors: Tensors) -> None:
        record["settings"] = {"sparsity": 0.9, "kinds": "both", "curvature": "total", "rounds": None}
        for name in [name for name in tensors if name.startswith("within/")]:
            del tensors[name]

    found, record = read_mask(forged(path, tmp_path, former), MODEL, mask.layout)
    assert found.within is None
    assert (record["settings"]["objective"], record["settings"]["within"]) == ("mlr", None)


NAME = "within/bert.encoder.layer.0.attention.self.query.weight"
BIAS = NAME.replace("weight", "bias")


def put(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda _, tensors: tensors.update({name: change(tensors[NAME])})


REFUSED: dict[str, tuple[Change, str]] = {
    "numbers": (put(NAME, lambda flags: flags.float()), "is not flags of what the mask selects"),
    "bytes": (put(NAME, lambda flags: flags.to(torch.uint8)), "is not flags of what the mask selects"),
    "fewer rows": (put(NAME, lambda flags: flags[:-1].clone()), "is not flags of what the mask selects"),
    "one number": (put(NAME, lambda flags: flags[0, 0].clone()), "is not flags of what the mask selects"),
    "another parameter": (put(f"{NAME}s", torch.clone), "is not flags of what the mask selects"),
    "no entries": (
        lambda _, tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("within/")],
        "do not fit each other",
    ),
    "not said": (lambda record, _: record["settings"].update(within=None), "do not fit each other"),
    "no settings": (lambda record, _: record.pop("settings"), "not a complete mask"),
    "settings of another kind": (lambda record, _: record.update(settings=[1]), "not a complete mask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_mask_would_write_is_refused(written: tuple[Path, Mask], name: str, tmp_path: Path) -> None:
    path, mask = written
    change, message = REFUSED[name]
    with pytest.raises(ArtifactError, match=message):
        read_mask(forged(path, tmp_path, change), MODEL, mask.layout)


def test_flags_that_are_no_truth_values_are_refused(written: tuple[Path, Mask], tmp_path: Path) -> None:
    """Two files for one mask would be two digests for it."""
    path, mask = written
    odd = torch.full_like(load_file(path)[NAME], 2, dtype=torch.uint8).view(torch.bool)
    with pytest.raises(ArtifactError, match="bytes other than 0 and 1"):
        read_mask(forged(path, tmp_path, put(NAME, lambda _: odd)), MODEL, mask.layout)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damage_of_the_entries_is_found(written: tuple[Path, Mask], damage: str, tmp_path: Path) -> None:
    path, mask = written
    content = path.read_bytes()
    with safe_open(path, framework="pt") as file:
        assert file.get_slice(NAME).get_dtype() == "BOOL"  # the narrowest type, so it is stored last
    changed = content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1])
    (tmp_path / "mask").write_bytes(changed)
    with pytest.raises(ArtifactError, match="is corrupt"):
        read_mask(tmp_path / "mask", MODEL, mask.layout)


def test_entries_of_what_is_not_selected_are_refused(written: tuple[Path, Mask], tmp_path: Path) -> None:
    path, mask = written

    def nothing_in_layer_0(_: Record, tensors: Tensors) -> None:
        tensors["selected/heads/0"] = torch.zeros(0, dtype=torch.int64)

    with pytest.raises(ArtifactError, match="is not flags of what the mask selects"):
        read_mask(forged(path, tmp_path, nothing_in_layer_0), MODEL, Layout(mask.layout.groups))
