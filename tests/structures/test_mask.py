import pytest
import torch

from speu_cli.structures.layout import COLUMNS, ROWS, Layout, find_layout
from speu_cli.structures.mask import Mask
from tiny import FAMILIES, tiny_model


@pytest.fixture(scope="module")
def layout() -> Layout:
    return find_layout(tiny_model("bert"))


def test_ones_and_zeros(layout: Layout) -> None:
    assert Mask.ones(layout).counts() == {"heads": (8, 8), "filters": (48, 48)}
    assert Mask.zeros(layout).counts() == {"heads": (0, 8), "filters": (0, 48)}


@pytest.mark.parametrize("family", FAMILIES)
def test_ones_select_every_entry_of_every_listed_parameter(family: str) -> None:
    model = tiny_model(family)
    layout = find_layout(model)
    slices = {name: (axes, indices) for name, axes, indices in Mask.ones(layout).slices()}
    assert slices.keys() == layout.parameters.keys()
    for name, (axes, indices) in slices.items():
        assert torch.equal(indices, torch.arange(model.get_parameter(name).shape[axes[0]]))


def test_zeros_select_nothing(layout: Layout) -> None:
    assert list(Mask.zeros(layout).slices()) == []


def test_slices_of_two_heads_and_a_filter(layout: Layout) -> None:
    mask = Mask.zeros(layout)
    mask.selected["heads/1"][[0, 3]] = True
    mask.selected["filters/0"][7] = True
    assert mask.counts() == {"heads": (2, 8), "filters": (1, 48)}
    found = {name: (axes, indices.tolist()) for name, axes, indices in mask.slices()}
    two_heads = [0, 1, 2, 3, 12, 13, 14, 15]
    attention = "bert.encoder.layer.1.attention"
    expected = {
        f"{attention}.self.{name}.{part}": (ROWS, two_heads)
        for name in ("query", "key", "value")
        for part in ("weight", "bias")
        if (name, part) != ("key", "bias")
    }
    expected |= {
        f"{attention}.output.dense.weight": (COLUMNS, two_heads),
        "bert.encoder.layer.0.intermediate.dense.weight": (ROWS, [7]),
        "bert.encoder.layer.0.intermediate.dense.bias": (ROWS, [7]),
        "bert.encoder.layer.0.output.dense.weight": (COLUMNS, [7]),
    }
    assert found == expected


def test_shared_rows_are_named_once_and_by_any_of_the_heads() -> None:
    layout = find_layout(tiny_model("llama"))
    attention = "model.layers.0.self_attn"
    for heads, of_key in (([2], range(6, 12)), ([0, 1], range(6)), ([1, 2], range(12))):
        mask = Mask.zeros(layout)
        mask.selected["heads/0"][heads] = True
        found = {name: (axes, indices.tolist()) for name, axes, indices in mask.slices()}
        own = [6 * head + feature for head in heads for feature in range(6)]
        assert found == {
            f"{attention}.q_proj.weight": (ROWS, own),
            f"{attention}.k_proj.weight": (ROWS, list(of_key)),
            f"{attention}.v_proj.weight": (ROWS, list(of_key)),
            f"{attention}.o_proj.weight": (COLUMNS, own),
        }
