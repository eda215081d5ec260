"""The laws of the statistics: exact, and independent of how the examples are batched."""

from pathlib import Path

import pytest
import torch

from laws import Case, largest_difference, make_case
from oracles import statistics as oracle
from speu_cli.errors import ArtifactError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from tiny import FAMILIES

EXACT, SINGLE = 1e-10, 1e-5
WHOLE = 10_000


def collected(case: Case, *, batch_tokens: int = WHOLE, indices: list[int] | None = None) -> Statistics:
    encoded = case.encoded if indices is None else case.encoded.select(indices)
    return collect(case.model, case.layout, case.task, encoded, batch_tokens=batch_tokens).statistics


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_equal_to_autograd_one_example_at_a_time(family: str, outputs: int, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, outputs=outputs)
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded)
    assert largest_difference(collected(case), expected) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_is_close_to_float64(family: str, tmp_path: Path) -> None:
    single = make_case(tmp_path, family, dtype=torch.float32)
    found = collected(single)
    double = make_case(tmp_path, family)
    expected = oracle.statistics(double.model, double.layout, double.task, double.encoded)
    assert largest_difference(found, expected) < SINGLE


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_what_the_processor_gives(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    expected = collected(case)
    case.model.to("cuda")
    assert largest_difference(collected(case), expected) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [1, 30, 100])
def test_independent_of_batch_size_and_padding(family: str, batch_tokens: int, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    assert largest_difference(collected(case, batch_tokens=batch_tokens), collected(case)) < EXACT


def test_independent_of_order(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    backwards = list(reversed(range(len(case.encoded))))
    assert largest_difference(collected(case, indices=backwards), collected(case)) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_union_is_the_sum_and_of_a_difference_the_difference(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family)
    forget, remaining = list(range(5)), list(range(5, len(case.encoded)))
    of_forget, of_remaining = collected(case, indices=forget), collected(case, indices=remaining)
    assert largest_difference(of_forget + of_remaining, collected(case)) < EXACT
    assert largest_difference(collected(case) - of_forget, of_remaining) < EXACT


def test_opposite_gradients_do_not_cancel_in_the_fisher(tmp_path: Path) -> None:
    case = make_case(tmp_path, outputs=1, count=1)
    inputs, _ = case.encoded.collate([0])
    prediction = case.model(**inputs).logits.double()[0, 0]
    twice = case.encoded.select([0, 0])
    twice = type(twice)(twice.rows, torch.stack([prediction - 1, prediction + 1]), twice.padding)
    one = collect(case.model, case.layout, case.task, twice.select([0]), batch_tokens=WHOLE).statistics
    both = collect(case.model, case.layout, case.task, twice, batch_tokens=WHOLE).statistics
    for name, fisher in both.fisher.items():
        assert torch.allclose(fisher, 2 * one.gradient[name] ** 2, rtol=1e-9, atol=0)
        assert both.gradient[name].abs().max() <= 1e-9 * one.gradient[name].abs().max()
    assert max(float(fisher.max()) for fisher in both.fisher.values()) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_mask_gradients_by_identity_by_hook_and_by_autograd_agree(family: str, tmp_path: Path) -> None:
    """∂ℓ/∂m_i = Σ over the unit's slice of W ⊙ ∂ℓ/∂W of its output projection."""
    case = make_case(tmp_path, family, count=6)
    for index, (of_parameters, by_autograd) in enumerate(
        oracle.example_gradients(case.model, case.layout, case.task, case.encoded)
    ):
        by_hook = collected(case, indices=[index]).mask_gradient
        for group in case.layout:
            name = group.slices[-1].parameter
            products = (case.model.get_parameter(name) * of_parameters[name]).sum(0)
            by_identity = products.unflatten(0, (group.count, group.width)).sum(1)
            assert torch.allclose(by_identity, by_autograd[group.key], rtol=1e-9, atol=1e-12)
            assert torch.allclose(by_hook[group.key], by_autograd[group.key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bias_of_a_key_has_no_gradient_rather_than_noise(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, dtype=torch.float32)
    found = collected(case)
    keys = [name for name in found.fisher if name.endswith(("key.bias", "k_lin.bias"))]
    assert len(keys) == 2
    for name in keys:
        assert not found.fisher[name].any()
        assert not found.gradient[name].any()


def test_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    before = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    collected(case)
    assert all(torch.equal(tensor, before[name]) for name, tensor in case.model.state_dict().items())
    assert all(parameter.grad is None for parameter in case.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.model.modules())


def test_losses_are_those_of_the_examples_in_order(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    found = collect(case.model, case.layout, case.task, case.encoded, batch_tokens=30).losses
    for index in range(len(case.encoded)):
        inputs, labels = case.encoded.collate([index])
        assert found[index].item() == pytest.approx(
            case.task.losses(case.model(**inputs).logits, labels).item()
        )


def test_an_empty_set_sums_to_zero(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    empty = collected(case, indices=[])
    assert empty.count == 0
    assert largest_difference(collected(case) + empty, collected(case)) == 0


def test_a_model_that_gives_no_finite_loss_is_refused(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    case.model.get_parameter("classifier.bias").fill_(torch.inf)
    with pytest.raises(ArtifactError, match="not finite"):
        collected(case)


def test_a_module_that_runs_twice_is_refused_rather_than_counted_wrongly(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    for layer in case.model.bert.encoder.layer:
        layer.chunk_size_feed_forward = 1
    case = Case(case.model, case.layout, case.task, case.encoded.select([0, 0]))
    with pytest.raises(ArtifactError, match="more than once"):
        collected(case)
