from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from speu_cli.errors import ArtifactError
from speu_cli.structures.layout import COLUMNS, KINDS, Slice, UnitGroup, find_family, find_layout
from tiny import FAMILIES, tiny_model, tiny_rows, tiny_tokenizer

HEADS, FILTERS, LAYERS = 4, 24, 2
# The tiny Llama's heads have 6 features, and nothing in it has a bias: q, k, v, o and gate, up, down.
HEAD_WIDTH = {"llama": 6}
PARAMETERS_OF_A_LAYER = {"llama": 4 + 3}


def unit_entries(parameter: Tensor, part: Slice, unit: int) -> Tensor:
    """A view of what a unit owns of a parameter."""
    return parameter.narrow(part.axes[0], unit // part.shared_by * part.width, part.width)


def logits(model: PreTrainedModel, family: str) -> Tensor:
    texts = [row["text"] for row in tiny_rows(6)]
    inputs = tiny_tokenizer(family)(texts, padding=True, return_tensors="pt")
    result: Tensor = model(**inputs).logits
    return result


@pytest.mark.parametrize("family", FAMILIES)
def test_units_of_a_model(family: str) -> None:
    layout = find_layout(tiny_model(family))
    assert [group.key for group in layout] == ["heads/0", "filters/0", "heads/1", "filters/1"]
    assert {kind: layout.count(kind) for kind in KINDS} == {
        "heads": HEADS * LAYERS,
        "filters": FILTERS * LAYERS,
    }
    assert [group.width for group in layout] == [HEAD_WIDTH.get(family, 4), 1] * LAYERS
    assert [group.layer for group in layout.of_kind("filters")] == [0, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_slices_cover_their_tensors_once(family: str) -> None:
    """Every entry of a listed tensor belongs to one unit, or to those that share it."""
    model = tiny_model(family)
    seen: set[str] = set()
    for group in find_layout(model):
        for part in group.slices:
            assert part.parameter not in seen, "a tensor belongs to one group"
            seen.add(part.parameter)
            owners = torch.zeros_like(model.get_parameter(part.parameter))
            for unit in range(group.count):
                unit_entries(owners, part, unit).add_(1)
            assert (owners == part.shared_by).all()
    # q and v with bias, k without, and their projection's weight; into the filters with bias and out of them
    assert len(seen) == LAYERS * PARAMETERS_OF_A_LAYER.get(family, 6 + 3)
    assert set(find_layout(model).parameters) == seen


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_in_a_layer_is_listed(family: str) -> None:
    """Of the layers' linear modules only biases belong to no unit: of the output projections, and of keys."""
    model = tiny_model(family)
    layout = find_layout(model)
    inside = {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and (".layer." in path or ".layers." in path)
        for name, _ in module.named_parameters()
    }
    biases = {f"{group.output}.bias" for group in layout} & dict(model.named_parameters()).keys()
    biases |= {name for name in inside if name.endswith(("key.bias", "k_lin.bias"))}
    assert inside - set(layout.parameters) == biases
    assert set(layout.parameters) <= inside


@pytest.mark.parametrize("family", FAMILIES)
def test_a_unit_speaks_through_its_output_slice_only(family: str) -> None:
    """Randomising a unit's other slices moves the logits; by nothing once its output slice is zero.

    Where units share a slice, once those of all of them are.
    """
    for index in range(2 * LAYERS):
        model = tiny_model(family)
        group = find_layout(model).groups[index]
        unit = group.count - 2
        before = logits(model, family)
        randomise_inputs(model, group, unit, seed=1)
        assert not torch.equal(logits(model, family), before), "the slices do nothing"
        output = group.slices[-1]
        assert output.axes == COLUMNS
        assert output.parameter == f"{group.output}.weight"
        together = max(part.shared_by for part in group.slices)
        first = unit // together * together
        for other in range(first, first + together):
            unit_entries(model.get_parameter(output.parameter), output, other).zero_()
        silent = logits(model, family)
        randomise_inputs(model, group, unit, seed=2)
        assert torch.equal(logits(model, family), silent)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_input_tensor_matters(family: str) -> None:
    """A listed tensor that the unit did not use would pass the test above."""
    model = tiny_model(family).double()
    before = logits(model, family)
    generator = torch.Generator().manual_seed(0)
    for group in find_layout(model):
        for part in group.slices:
            parameter = model.get_parameter(part.parameter)
            saved = parameter.clone()
            entries = unit_entries(parameter, part, 1)
            entries.add_(torch.randn(entries.shape, generator=generator, dtype=torch.float64))
            moved = float((logits(model, family) - before).abs().max())
            assert moved > 1e-6, part.parameter
            parameter.copy_(saved)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_what_no_output_depends_on_belongs_to_no_unit(family: str) -> None:
    model = tiny_model(family).double()
    before, layout = logits(model, family), find_layout(model)
    names = [name for name, _ in model.named_parameters() if name.endswith(("key.bias", "k_lin.bias"))]
    assert len(names) == 2 and not set(names) & layout.parameters.keys()
    for name in names:
        parameter = model.get_parameter(name)
        parameter.add_(torch.randn(parameter.shape, dtype=torch.float64))
    assert float((logits(model, family) - before).abs().max()) < 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_zeroing_an_output_slice_is_zeroing_the_input_of_the_projection(family: str) -> None:
    """The mask variable scales the unit's features where they enter the output projection."""
    model = tiny_model(family)
    for group in find_layout(model):
        factor = torch.ones(group.count)
        factor[1] = 0.0
        scale = factor.repeat_interleave(group.width)
        handle = model.get_submodule(group.output).register_forward_pre_hook(
            lambda _, args, scale=scale: (args[0] * scale,)
        )
        masked = logits(model, family)
        handle.remove()
        parameter = model.get_parameter(group.slices[-1].parameter)
        saved = parameter.clone()
        unit_entries(parameter, group.slices[-1], 1).zero_()
        assert torch.allclose(logits(model, family), masked, atol=1e-6)
        parameter.copy_(saved)


def randomise_inputs(model: PreTrainedModel, group: UnitGroup, unit: int, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for part in group.slices[:-1]:
        entries = unit_entries(model.get_parameter(part.parameter), part, unit)
        entries.copy_(torch.randn(entries.shape, generator=generator))


@pytest.mark.parametrize(("family", "reserved"), [("bert", 0), ("distilbert", 0), ("roberta", 2)])
def test_positions_that_no_token_can_take(family: str, reserved: int) -> None:
    """The longest input that the model can take has as many tokens as positions are left."""
    model = tiny_model(family)
    assert find_family(model.config).reserved_positions == reserved
    longest: int = model.config.max_position_embeddings - reserved
    ids = torch.full((1, longest + 1), 5)
    assert model(input_ids=ids[:, :-1]).logits.isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=ids)


@pytest.mark.parametrize(
    ("path", "module", "message"),
    [
        (
            "bert.encoder.layer.1.attention.self.key",
            nn.Linear(16, 12),
            "has 12 outputs, expected 16 in 4 units",
        ),
        (
            "bert.encoder.layer.1.intermediate.dense",
            nn.Linear(16, 23),
            "has 23 outputs, expected 24 in 24 units",
        ),
        ("bert.encoder.layer.0.output.dense", nn.Identity(), "no linear module .*, found Identity"),
        ("bert.encoder.layer.0.attention.self.query", nn.Bilinear(16, 16, 16), "found Bilinear"),
    ],
)
def test_modules_of_other_shapes(path: str, module: nn.Module, message: str) -> None:
    model = tiny_model("bert")
    model.set_submodule(path, module)
    with pytest.raises(ArtifactError, match=message):
        find_layout(model)


def test_missing_module() -> None:
    model = tiny_model("bert")
    model.config.num_hidden_layers = 3
    with pytest.raises(ArtifactError, match=r"no linear module 'bert.encoder.layer.2.*found NoneType"):
        find_layout(model)


def test_heads_that_do_not_divide_the_features() -> None:
    model: Any = tiny_model("bert")
    model.config.num_attention_heads = 5
    with pytest.raises(ArtifactError, match="expected 16 in 5 units"):
        find_layout(model)


def test_query_heads_share_the_rows_of_key_and_value() -> None:
    group = find_layout(tiny_model("llama")).groups[0]
    shared = {part.parameter.rsplit(".", 2)[1]: part.shared_by for part in group.slices}
    assert shared == {"q_proj": 1, "k_proj": 2, "v_proj": 2, "o_proj": 1}
    assert group.count == HEADS


def test_a_head_moves_the_heads_that_share_its_key_and_value_and_no_other() -> None:
    """Where o_proj gives every head its own outputs, its input shows which heads a shared row moves."""
    model = tiny_model("llama")
    group = find_layout(model).groups[0]
    seen: list[Tensor] = []
    hook = model.get_submodule(group.output).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for part in group.slices[1:3]:
        parameter = model.get_parameter(part.parameter)
        saved = parameter.clone()
        seen.clear()
        logits(model, "llama")
        unit_entries(parameter, part, 2).add_(1.0)
        logits(model, "llama")
        parameter.copy_(saved)
        moved = (seen[0] != seen[1]).unflatten(-1, (group.count, group.width)).any(-1).any(0).any(0)
        assert moved.tolist() == [False, False, True, True]
    hook.remove()


@pytest.mark.parametrize("key_value_heads", [1, 4])
def test_any_number_of_key_and_value_heads(key_value_heads: int) -> None:
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        pad_token_id=0,
    )
    heads = find_layout(LlamaForSequenceClassification(config)).groups[0]
    assert [part.shared_by for part in heads.slices] == [1, *[4 // key_value_heads] * 2, 1]


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [("k_proj", 24, "has 24 outputs, expected 12 in 2 units"), ("q_proj", 12, "expected 24 in 4 units")],
)
def test_shared_modules_of_other_shapes(name: str, outputs: int, message: str) -> None:
    model = tiny_model("llama")
    model.set_submodule(f"model.layers.1.self_attn.{name}", nn.Linear(16, outputs))
    with pytest.raises(ArtifactError, match=message):
        find_layout(model)


def test_key_and_value_heads_that_do_not_divide_the_heads() -> None:
    model: Any = tiny_model("llama")
    model.config.num_key_value_heads = 3
    with pytest.raises(ArtifactError, match="expected 18 in 3 units"):
        find_layout(model)
