"""Every family's table, against its model: what units own, and that they own nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from transformers import BloomConfig, PreTrainedModel

from speu_cli.errors import ArtifactError
from speu_cli.structures.entries import put, take
from speu_cli.structures.families import FAMILIES
from speu_cli.structures.layout import KINDS, Layout, Slice, UnitGroup, find_family, find_layout
from speu_cli.structures.mask import Mask
from tiny import ALL_FAMILIES, tiny_model, tiny_rows, tiny_tokenizer

families = pytest.mark.parametrize("family", ALL_FAMILIES)
HEADS, FILTERS, LAYERS = 4, 24, 2
WIDTHS = {"llama": 6, "mistral": 6, "qwen3": 6, "gemma3_text": 6, "qwen2_moe": 6, "qwen3_moe": 6}
# Blocks of biases that no unit owns, of a layer's attention, as a part of the bias that they are in.
UNOWNED = {
    **{family: {"attention.self.key.bias": range(16)} for family in ("bert", "roberta", "electra")},
    "distilbert": {"attention.k_lin.bias": range(16)},
    "albert": {"attention.key.bias": range(16)},
    "deberta-v2": {
        "attention.self.key_proj.bias": range(16),
        "attention.self.pos_key_proj.bias": range(16),
    },
    "deberta-v2-shared": {"attention.self.key_proj.bias": range(16)},
    "vit": {"attention.k_proj.bias": range(16)},
    "gpt2": {"attn.c_attn.bias": range(16, 32)},
    "opt": {"self_attn.k_proj.bias": range(16)},
    "gpt_neox": {"attention.query_key_value.bias": [12 * h + 4 + i for h in range(4) for i in range(4)]},
}
# In these some scores depend on the bias: with rotary positions of a part of the features, and where contents
# meet positions.
SEEN_IN_PART = {"gpt_neox", "deberta-v2-shared"}
# What else of the layers' matrices belongs to no unit.
FROZEN = {
    "mixtral": ("mlp.gate.weight",),
    "qwen2_moe": ("mlp.gate.weight", "shared_expert"),
    "qwen3_moe": ("mlp.gate.weight",),
    "olmo2": ("self_attn",),
}


@cache
def inputs_of(family: str) -> dict[str, Tensor]:
    if family == "vit":
        return {"pixel_values": torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    texts = [row["text"] for row in tiny_rows(4)]
    return dict(tiny_tokenizer(family)(texts, padding=True, return_tensors="pt"))


def logits(model: PreTrainedModel, family: str) -> Tensor:
    inputs = {
        name: one.to(model.dtype) if one.is_floating_point() else one
        for name, one in inputs_of(family).items()
    }
    result: Tensor = model(**inputs).logits
    return result


def exact_model(family: str) -> tuple[PreTrainedModel, Layout]:
    """In float64, its biases not zero as they are at first."""
    model = tiny_model(family).double()
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return model, find_layout(model)


def random_like(draw: torch.Generator) -> Callable[[Tensor], Tensor]:
    return lambda old: torch.randn(old.shape, generator=draw, dtype=old.dtype)


def change(model: nn.Module, part: Slice, unit: int, new: Callable[[Tensor], Tensor]) -> None:
    parameter, indices = model.get_parameter(part.parameter), part.indices(torch.tensor([unit]))
    put(parameter, part.axes, indices, new(take(parameter, part.axes, indices)))


@families
def test_every_family_has_units(family: str) -> None:
    layout = find_layout(tiny_model(family))
    kinds = {"filters"} if family == "olmo2" else set(KINDS)
    assert {group.kind for group in layout} == kinds
    for kind in kinds:
        groups = layout.of_kind(kind)
        assert [group.layer for group in groups] == list(range(LAYERS))
        assert {group.count for group in groups} == {HEADS if kind == "heads" else FILTERS}
        assert {group.width for group in groups} == {WIDTHS.get(family, 4) if kind == "heads" else 1}


@families
def test_each_entry_of_a_listed_tensor_belongs_to_one_unit_or_to_those_that_share_it(family: str) -> None:
    model = tiny_model(family)
    layout = find_layout(model)
    for name, (group, parts) in layout.parameters.items():
        parameter = model.get_parameter(name)
        assert len({part.axes for part in parts}) == 1
        owners = torch.zeros_like(parameter)
        expected = torch.zeros_like(parameter)
        for part in parts:
            all_of_it = part.indices(torch.arange(group.count))
            put(expected, part.axes, all_of_it, torch.ones_like(take(expected, part.axes, all_of_it)))
            for unit in range(group.count):
                indices = part.indices(torch.tensor([unit]))
                assert len(indices) == part.width
                shares = take(owners, part.axes, indices) + 1 / part.shared_by
                put(owners, part.axes, indices, shares)
        unowned = next((u for end, u in UNOWNED.get(family, {}).items() if name.endswith(end)), ())
        assert (expected == 0).nonzero()[:, 0].tolist() == list(unowned)
        assert torch.equal(owners, expected)


@families
def test_what_of_the_layers_belongs_to_no_unit(family: str) -> None:
    """Norms, routers, biases of output projections, and biases that no output depends on."""
    model = tiny_model(family)
    layout = find_layout(model)
    inside = {
        name for name, _ in model.named_parameters() if any(part.isdecimal() for part in name.split("."))
    }
    assert layout.parameters.keys() <= inside
    outputs = {f"{group.output}.bias" for group in layout}
    for name in inside - layout.parameters.keys():
        if (
            name in outputs
            or "norm" in name.lower()
            or ".ln_" in name
            or name.endswith(tuple(UNOWNED.get(family, ())))
        ):
            continue
        assert any(part in name for part in FROZEN.get(family, ())), name


@families
def test_a_unit_speaks_through_its_output_slice_only(family: str) -> None:
    """Other values in a unit's slices move the logits; by nothing once its output slice is zero.

    Where units share a slice, once those of all of them are.
    """
    for index in range(len(find_layout(tiny_model(family)).groups)):
        model, layout = exact_model(family)
        group, draw = layout.groups[index], torch.Generator().manual_seed(0)
        unit = group.count - 2 if group.output else busiest(model, family, group)
        before = logits(model, family)
        for part in group.slices[:-1]:
            change(model, part, unit, random_like(draw))
        assert float((logits(model, family) - before).abs().max()) > 1e-9, "the slices do nothing"
        together = max(part.shared_by for part in group.slices)
        first = unit // together * together
        for other in range(first, first + together):
            change(model, group.slices[-1], other, torch.zeros_like)
        silent = logits(model, family)
        for part in group.slices[:-1]:
            change(model, part, unit, random_like(draw))
        assert float((logits(model, family) - silent).abs().max()) < 1e-13


def busiest(model: PreTrainedModel, family: str, group: UnitGroup) -> int:
    """A unit of an expert that the examples are sent to."""
    with torch.enable_grad():
        weight = model.get_parameter(group.slices[-1].parameter).requires_grad_(True)
        (gradient,) = torch.autograd.grad(logits(model, family).square().sum(), weight)
        weight.requires_grad_(False)
    return int(group.sum_by_unit(gradient.abs()).argmax())


@families
def test_each_slice_matters(family: str) -> None:
    """A listed tensor that the unit did not use would pass the test above."""
    model, layout = exact_model(family)
    before, draw = logits(model, family), torch.Generator().manual_seed(0)
    for group in layout:
        unit = 1 if group.output else busiest(model, family, group)
        for part in group.slices:
            saved = model.get_parameter(part.parameter).clone()
            change(model, part, unit, lambda old: old + torch.randn(old.shape, generator=draw).double())
            moved = float((logits(model, family) - before).abs().max())
            assert moved > 1e-9, part
            model.get_parameter(part.parameter).copy_(saved)


@pytest.mark.parametrize("family", UNOWNED)
def test_no_output_depends_on_what_no_unit_owns_of_the_keys(family: str) -> None:
    model, layout = exact_model(family)
    before = logits(model, family)
    names = [
        (name, unowned)
        for name, _ in model.named_parameters()
        for end, unowned in UNOWNED[family].items()
        if name.endswith(end)
    ]
    assert len(names) == LAYERS * len(UNOWNED[family])
    draw = torch.Generator().manual_seed(0)
    for name, unowned in names:
        parameter = model.get_parameter(name)
        owned = [part.indices(torch.arange(group.count)) for group, part in owners_of(layout, name)]
        assert not set(unowned) & set(torch.cat(owned).tolist() if owned else [])
        parameter[list(unowned)] += torch.randn(len(unowned), generator=draw).double()
    moved = float((logits(model, family) - before).abs().max())
    assert moved > 1e-9 if family in SEEN_IN_PART else moved < 1e-12


def owners_of(layout: Layout, name: str) -> Iterator[tuple[UnitGroup, Slice]]:
    group, parts = layout.parameters.get(name, (layout.groups[0], ()))
    return ((group, part) for part in parts)


@families
def test_mask_gradients_by_identity_are_those_of_explicit_mask_variables(family: str) -> None:
    """∂ℓ/∂m_i = Σ over the unit's slice of W ⊙ ∂ℓ/∂W of its output projection.

    Filters of experts have no input of a module to scale; there the variables scale what is put into them by
    the one factor that is linear, the second of the two pieces of their input.
    """
    model, layout = exact_model(family)
    variables = {
        group.key: torch.ones(group.count, dtype=torch.float64, requires_grad=True) for group in layout
    }
    weights = [model.get_parameter(group.slices[-1].parameter) for group in layout]
    with torch.enable_grad(), masked(model, layout, variables):
        for weight in weights:
            weight.requires_grad_(True)
        loss = logits(model, family).square().sum()
        expected = torch.autograd.grad(loss, list(variables.values()))
    with torch.enable_grad():
        gradients = torch.autograd.grad(logits(model, family).square().sum(), weights)
    for group, weight, gradient, of_variables in zip(layout, weights, gradients, expected, strict=True):
        by_identity = group.sum_by_unit((weight * gradient).detach())
        assert of_variables.abs().max() > 1e-9
        assert torch.allclose(by_identity, of_variables, rtol=1e-9, atol=1e-12)


@contextmanager
def masked(model: PreTrainedModel, layout: Layout, variables: dict[str, Tensor]) -> Iterator[None]:
    """Mask variables in the model, for a while."""
    handles, parameters = [], {}
    for group in layout:
        m = variables[group.key]
        if group.output is not None:
            scale = m.repeat_interleave(group.width)
            handles.append(
                model.get_submodule(group.output).register_forward_pre_hook(
                    lambda _, args, scale=scale: (args[0] * scale,)
                )
            )
            continue
        path, _, name = group.slices[1].parameter.rpartition(".")
        module = model.get_submodule(path)
        weight = module._parameters.pop(name)
        assert weight is not None
        parameters[module, name] = weight
        experts = weight.shape[0]
        of_rows = torch.cat([torch.ones(experts, group.count // experts), m.reshape(experts, -1)], 1)
        setattr(module, name, weight * of_rows[:, :, None])
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for (module, name), weight in parameters.items():
            delattr(module, name)
            module._parameters[name] = weight


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi3", "gemma3_text", "mixtral"])
def test_a_shared_key_and_value_head_changes_with_any_or_with_all_of_its_heads(family: str) -> None:
    layout = find_layout(tiny_model(family))
    width = layout.of_kind("heads")[0].width
    shared = [
        (name, part)
        for name, (_, parts) in layout.parameters.items()
        for part in parts
        if part.shared_by > 1 and part.parameter.split(".")[2] == "0"
    ]
    assert shared
    for selected, by_any, by_all in (([2], [1], []), ([0, 1, 2], [0, 1], [0]), ([1, 2], [0, 1], [])):
        for kv, blocks in (("any", by_any), ("all", by_all)):
            mask = Mask.zeros(layout, kv)
            mask.selected["heads/0"][selected] = True
            slices = {name: set(indices.tolist()) for name, _, indices in mask.slices()}
            for name, part in shared:
                reach = set(range(part.start, part.start + 2 * width))
                expected = {part.start + block * width + i for block in blocks for i in range(width)}
                assert slices.get(name, set()) & reach == expected


@families
@pytest.mark.parametrize("kv", ["any", "all"])
def test_slices_of_a_mask_are_those_of_its_units(family: str, kv: str) -> None:
    model = tiny_model(family)
    layout = find_layout(model)
    ones = Mask(layout, Mask.ones(layout).selected, kv)
    seen = [name for name, _, _ in ones.slices()]
    assert seen == list(layout.parameters)
    draw = torch.Generator().manual_seed(0)
    mask = Mask(layout, {g.key: torch.rand(g.count, generator=draw) < 0.4 for g in layout}, kv)
    for name, axes, indices in mask.slices():
        group, parts = layout.parameters[name]
        units = mask.selected[group.key].nonzero()[:, 0].tolist()
        expected = set()
        for part in parts:
            for unit in units:
                together = unit // part.shared_by * part.shared_by
                sharers = set(range(together, together + part.shared_by))
                if kv == "any" or sharers <= set(units):
                    expected |= set(part.indices(torch.tensor([unit])).tolist())
        assert axes == parts[0].axes
        assert indices.tolist() == sorted(expected)


def test_families_are_registered_by_their_model_type() -> None:
    names = {name: family.model_type for name, family in FAMILIES.items()}
    assert names == {name: name for name in names}
    tiny = {find_family(tiny_model(family).config).model_type for family in ALL_FAMILIES}
    assert tiny == names.keys()


def test_a_family_without_a_table() -> None:
    with pytest.raises(
        ArtifactError, match=r"'bloom' is not supported, expected one of bert, .*, olmo2"
    ) as told:
        find_family(BloomConfig())
    assert "speu_cli/structures/families" in str(told.value.hint)


def test_experts_of_another_shape() -> None:
    model = tiny_model("mixtral")
    experts = model.get_submodule("model.layers.1.mlp.experts")
    experts.gate_up_proj = nn.Parameter(torch.zeros(3, 15, 16))
    with pytest.raises(ArtifactError, match=r"has shape \[3, 15, 16\], expected \[3, 16, 16\]"):
        find_layout(model)
    del experts.gate_up_proj
    with pytest.raises(ArtifactError, match=r"no parameter 'model.layers.1.mlp.experts.gate_up_proj' of all"):
        find_layout(model)


def test_a_fused_module_of_another_shape() -> None:
    model = tiny_model("phi3")
    model.set_submodule("model.layers.0.self_attn.qkv_proj", nn.Linear(16, 30))
    with pytest.raises(ArtifactError, match="qkv_proj' has 30 outputs"):
        find_layout(model)
