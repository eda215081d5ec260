"""The stages in a row, once for every family of texts that there is a table of."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import speu_cli
from memorised import Home, memorised
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.cli.main import main
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import read_mask
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.mask import MaskResult
from speu_cli.structures.entries import put, take
from speu_cli.structures.layout import find_layout
from tiny import ALL_FAMILIES, FAMILIES

MORE = tuple(family for family in ALL_FAMILIES if family not in {*FAMILIES, "vit"})


def with_statistics(home: Home, **settings: Any) -> Path:
    fisher = home.folder / "fisher"
    speu_cli.fisher(home.model, home.path("train.jsonl"), fisher, holdout=home.path("dev.jsonl"), **settings)
    return fisher


def masked(home: Home, fisher: Path, name: str = "mask", **settings: Any) -> MaskResult:
    return speu_cli.mask(
        home.model,
        fisher,
        home.folder / name,
        data=home.path("train.jsonl"),
        forget=home.path("ids.txt"),
        **settings,
    )


def unlearned(home: Home, fisher: Path, output: Path, **settings: Any) -> Any:
    train, forget = home.path("train.jsonl"), home.path("ids.txt")
    return speu_cli.unlearn(
        home.model, fisher, train, forget, output, rate=1e-4, max_overshoot=1e9, **settings
    )


@pytest.mark.parametrize("family", MORE)
def test_all_stages_and_the_model_that_comes_of_them(family: str, tmp_path: Path) -> None:
    home = memorised(tmp_path / "home", family)
    fisher = with_statistics(home)
    made = masked(home, fisher, sparsity=0.75)
    assert made.selected == {"heads": (0, 0) if family == "olmo2" else (2, 8), "filters": (12, 48)}
    assert (made.note is not None) == (family == "olmo2")
    done = unlearned(home, fisher, tmp_path / "new", mask=made.output)
    before, after = load_checkpoint(home.model), load_checkpoint(tmp_path / "new")
    mask, _ = read_mask(made.output, before.identity, find_layout(before.model))
    slices = {name: (axes, indices) for name, axes, indices in mask.slices()}
    moved = 0
    for name, parameter in after.model.named_parameters():
        original = before.model.get_parameter(name)
        if name in slices:
            axes, indices = slices[name]
            moved += int((take(parameter, axes, indices) != take(original, axes, indices)).sum())
            put(original, axes, indices, take(parameter, axes, indices))
        assert torch.equal(parameter, original), name
    assert 0 < moved <= done.parameters_changed
    assert done.parameters_changed == sum(
        take(before.model.get_parameter(name), axes, indices).numel()
        for name, (axes, indices) in slices.items()
    )


@pytest.mark.parametrize("family", ["qwen2", "phi3", "mixtral"])
def test_statistics_of_a_mask_give_the_step_of_whole_ones(family: str, tmp_path: Path) -> None:
    """Without damping, whose mean is of other entries; of key and value heads that change with all heads."""
    home = memorised(tmp_path / "home", family)
    fisher = with_statistics(home)
    mask = masked(home, fisher, sparsity=0.4, kv="all").output
    part = home.folder / "part"
    speu_cli.fisher(home.model, home.path("train.jsonl"), part, collection=CollectionChoice(mask=mask))
    assert read_artifact(part).record["collected"]["kv"] == "all"
    weights = []
    for number, statistics in enumerate((fisher, part)):
        output = tmp_path / f"new-{number}"
        unlearned(home, statistics, output, mask=mask, damping=0.0)
        weights.append(load_file(output / "model.safetensors"))
    for name, whole in weights[0].items():
        assert torch.allclose(weights[1][name], whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_key_and_value_heads_change_with_any_or_with_all_of_their_heads(tmp_path: Path) -> None:
    home = memorised(tmp_path / "home", "llama")
    fisher = with_statistics(home)
    made = {kv: masked(home, fisher, kv, sparsity=0.5, kv=kv) for kv in ("any", "all")}
    records = {kv: read_artifact(one.output).record for kv, one in made.items()}
    assert {kv: record["settings"]["kv"] for kv, record in records.items()} == {"any": "any", "all": "all"}
    assert {kv: one.kv for kv, one in made.items()} == {"any": "any", "all": "all"}
    checkpoint = load_checkpoint(home.model)
    layout = find_layout(checkpoint.model)
    masks = {kv: read_mask(one.output, checkpoint.identity, layout)[0] for kv, one in made.items()}
    assert {kv: mask.kv for kv, mask in masks.items()} == {"any": "any", "all": "all"}
    sizes = {kv: sum(len(indices) for _, _, indices in mask.slices()) for kv, mask in masks.items()}
    assert sizes["all"] < sizes["any"]
    of_request = unlearned(home, fisher, tmp_path / "new", sparsity=0.5, kv="all")
    given = unlearned(home, fisher, tmp_path / "again", mask=made["all"].output)
    assert of_request.parameters_changed == given.parameters_changed
    assert read_artifact(tmp_path / "new" / MASK_NAME).record["settings"]["kv"] == "all"
    assert json.loads((tmp_path / "new" / "speu.json").read_text())["mask"]["kv"] == "all"


def test_a_mask_file_that_does_not_say_when_they_change(tmp_path: Path) -> None:
    """Those of before that choice let them change with any; an unknown word is refused."""
    home = memorised(tmp_path / "home", "llama")
    made = masked(home, with_statistics(home), kv="all").output
    artifact, checkpoint = read_artifact(made), load_checkpoint(home.model)
    layout = find_layout(checkpoint.model)
    record = {
        name: value
        for name, value in artifact.record.items()
        if name not in {"format", "version", "kind", "sha256"}
    }
    for kv in (None, "some"):
        settings = {name: value for name, value in record["settings"].items() if name != "kv"}
        settings |= {"kv": kv} if kv else {}
        write_artifact(made, "mask", record | {"settings": settings}, artifact.tensors, force=True)
        if kv:
            with pytest.raises(ArtifactError, match=r"'kv' is 'some', expected any or all"):
                read_mask(made, checkpoint.identity, layout)
        else:
            assert read_mask(made, checkpoint.identity, layout)[0].kv == "any"


def test_heads_that_cannot_be_changed_one_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = memorised(tmp_path / "home", "olmo2")
    fisher = with_statistics(home)
    with pytest.raises(InputError, match=r"--kinds is heads, which cannot be masked .*q_norm") as told:
        masked(home, fisher, kinds="heads")
    assert told.value.hint == "use --kinds filters"
    assert masked(home, fisher, kinds="filters", picture=home.folder / "mask.png").note is None
    names = ["--data", home.path("train.jsonl"), "--forget", home.path("ids.txt"), "--rate", "1e-5"]
    status = main(
        ["unlearn", str(home.model), "--fisher", str(fisher), *names, "-o", str(tmp_path / "new"), "--json"]
    )
    shown = capsys.readouterr()
    assert status == 0
    assert "the heads of this model stay frozen" in shown.err
    assert "the heads of this model stay frozen" in json.loads(shown.out)["note"]


@pytest.mark.parametrize("family", ["albert", "mixtral", "olmo2"])
def test_no_estimate_is_made_where_it_would_be_wrong(family: str, tmp_path: Path) -> None:
    home = memorised(tmp_path / "home", family)
    with pytest.raises(InputError, match=f"no estimate is made for {family}"):
        speu_cli.plan(home.model, home.path("train.jsonl"))


@pytest.mark.parametrize(
    "family", ["electra", "deberta-v2", "modernbert", "gpt2", "opt", "gpt_neox", "gemma3_text", "phi3"]
)
def test_an_estimate_is_made(family: str, tmp_path: Path) -> None:
    home = memorised(tmp_path / "home", family)
    found = speu_cli.plan(home.model, home.path("train.jsonl"))
    assert found is not None
    assert found.seconds > 0
    assert found.calibration.layers == 2
