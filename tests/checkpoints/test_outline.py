"""Models without their weights."""

import json
from pathlib import Path

import pytest
import torch

from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.outline import NOWHERE, build_model, load_outline, reduce_config
from speu_cli.errors import ArtifactError
from speu_cli.structures.layout import find_layout
from tiny import FAMILIES, MORE, tiny_checkpoint, tiny_model

WEIGHTS = "model.safetensors"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_outline_has_the_shapes_and_types_of_the_model(
    family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    whole = load_checkpoint(tiny_checkpoint(tmp_path, family), dtype=dtype).model
    (tmp_path / WEIGHTS).unlink()
    outline = load_outline(tmp_path, device="cpu", dtype=dtype).model
    assert type(outline) is type(whole)
    assert {name: (one.shape, one.dtype) for name, one in outline.named_parameters()} == {
        name: (one.shape, one.dtype) for name, one in whole.named_parameters()
    }
    assert all(one.device.type == NOWHERE for one in outline.parameters())
    assert find_layout(outline) == find_layout(whole)


def test_a_config_that_no_model_has_is_refused(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 3}))
    with pytest.raises(ArtifactError, match=r"config\.json"):
        load_outline(tmp_path, device="cpu", dtype=torch.float32)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("narrowing", [1, 2, 4])
def test_a_reduced_model_runs(family: str, narrowing: int) -> None:
    config = tiny_model(family, layers=5).config
    small = reduce_config(config, layers=2, narrowing=narrowing)
    model = build_model(small, device="cpu", dtype=torch.float32)
    layout = find_layout(model)
    assert (config.num_hidden_layers, len(layout.groups)) == (5, 4)
    assert {group.count for group in layout.of_kind("heads")} == {4 // narrowing}
    assert {group.count for group in layout.of_kind("filters")} == {24 // narrowing}
    ids = torch.tensor([[3, 4, 5], [6, 7, 0]])
    assert model(input_ids=ids, attention_mask=(ids > 0).long()).logits.isfinite().all()


def test_random_weights_are_always_the_same_and_leave_the_generator_alone() -> None:
    config, state = tiny_model("bert").config, torch.random.get_rng_state()
    one, other = (build_model(config, device="cpu", dtype=torch.float32) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(
        torch.equal(mine, theirs) for mine, theirs in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "family", sorted(MORE.keys() - {"vit", "albert", "mixtral", "qwen2_moe", "qwen3_moe"})
)
def test_half_of_every_family_that_estimates_are_made_for(family: str) -> None:
    """It runs, with half the heads and filters of each of its layers."""
    config = tiny_model(family, layers=3).config
    model = build_model(reduce_config(config, layers=2, narrowing=2), device="cpu", dtype=torch.float32)
    layout = find_layout(model)
    assert (layout.count("heads"), layout.count("filters")) == (0 if family == "olmo2" else 4, 24)
    assert model(input_ids=torch.arange(2, 16).reshape(2, 7)).logits.isfinite().all()
