"""Rounding of weights against a loop over numbers, and which weights are rounded."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_tasks import modelling
from torch import nn
from transformers.pytorch_utils import Conv1D

from oracles.attacks import rounded_row
from speu_cli.checkpoints.quantized import SCHEMES, Scheme, linear_weights, quantize, rounded
from tiny import ALL_FAMILIES, tiny_model

NUMBERS = st.floats(-4, 4) | st.just(0.0)


@given(st.data(), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 7, 127]))
def test_it_is_the_loop_over_numbers(data, outputs, inputs, group, largest):
    rows = [[data.draw(NUMBERS) for _ in range(inputs)] for _ in range(outputs)]
    weight = torch.tensor(rows, dtype=torch.float64)
    in_groups = rounded(weight, Scheme(largest, group)).tolist()
    assert in_groups == [rounded_row(row, largest, group) for row in rows]
    assert rounded(weight, Scheme(largest)).tolist() == [rounded_row(row, largest, inputs) for row in rows]


@pytest.mark.parametrize("precision", SCHEMES)
def test_no_weight_moves_by_more_than_half_a_step_and_no_scale_has_more_numbers_than_bits(precision):
    torch.manual_seed(0)
    scheme = SCHEMES[precision]
    weight = torch.randn(3, 150)
    found = rounded(weight, scheme)
    for row, new_row in zip(weight, found, strict=True):
        size = scheme.group or 150
        for old, new in zip(row.split(size), new_row.split(size), strict=True):
            step = old.abs().max() / scheme.largest
            assert (old - new).abs().max() <= step / 2 * (1 + 1e-5)
            assert len(new.unique()) <= 2 * scheme.largest + 1
            assert new.abs().max().item() == pytest.approx(old.abs().max().item(), rel=1e-6)


def test_zeros_stay_zeros():
    weight = torch.zeros(2, 70)
    weight[1, 66] = 3.0
    assert torch.equal(rounded(weight, SCHEMES["int4"]), weight)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_linear_layers_are_rounded_and_nothing_else(family):
    model, scheme = tiny_model(family), Scheme(3)
    before = {name: value.clone() for name, value in model.named_parameters()}
    quantize(model, scheme)
    layers = dict(model.named_modules())
    rounded_ones = 0
    for name, after in model.named_parameters():
        module, kind = layers[name.rpartition(".")[0]], name.rpartition(".")[2]
        expected = before[name]
        if isinstance(module, nn.Linear) and kind == "weight":
            expected = rounded(expected, scheme)
        elif isinstance(module, Conv1D) and kind == "weight":
            expected = rounded(expected.T, scheme).T
        elif ".experts." in name:
            expected = torch.stack([rounded(one, scheme) for one in expected])
        assert torch.equal(after, expected), name
        rounded_ones += not torch.equal(after, before[name])
    assert rounded_ones >= 4


def test_a_head_that_is_the_embedding_is_left_alone_and_another_is_not():
    for tied, found in ((True, False), (False, True)):
        model = modelling(tied=tied)
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        assert (embedding is head) == tied
        before = head.clone()
        quantize(model, Scheme(3))
        assert torch.equal(head, before) != found


def test_a_weight_that_two_layers_share_is_found_once():
    model = modelling()
    first, second = model.model.layers
    second.mlp.down_proj.weight = first.mlp.down_proj.weight
    shared = [weight for weight in linear_weights(model) if weight is first.mlp.down_proj.weight]
    assert len(shared) == 1


def test_an_embedding_is_left_alone_also_where_the_head_comes_first():
    model = nn.ModuleDict({"head": nn.Linear(4, 9, bias=False), "embedding": nn.Embedding(9, 4)})
    model["embedding"].weight = model["head"].weight
    assert list(linear_weights(model)) == []
