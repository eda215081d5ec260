"""Eigenvalue-corrected Kronecker factors against per-example gradients, in float64."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from kronecker.basis import Basis, find_bases
from kronecker.curvature import Curvature, correct_eigenvalues, corrected, find_curvature
from kronecker.sample import Sample, matrix_slices
from torch import Tensor

from laws import Case, make_case
from oracles import statistics as oracle
from speu_cli.progress import Silent
from speu_cli.statistics.collector import collect
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part, Wanted, wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.second_order import Direction, second_order_direction
from tiny import FAMILIES

FORGET, SIZE, DAMPING = 4, 13, 0.1


def half_mask(case: Case) -> Mask:
    """Every other unit."""
    return Mask(case.layout, {group.key: torch.arange(group.count) % 2 == 0 for group in case.layout})


def sample_of(case: Case, batch_tokens: int = 60) -> Sample:
    """The examples that are not forgotten."""
    remaining = case.encoded.select(range(FORGET, SIZE))
    return Sample(case.model, case.layout, case.task, remaining, batch_tokens, Silent())


def gradients_of(case: Case, parts: Mapping[str, Part], examples: range) -> list[dict[str, Tensor]]:
    """By autograd, on the slices, of each example."""
    encoded = case.encoded.select(examples)
    found = oracle.example_gradients(case.model, case.layout, case.task, encoded)
    return [
        {name: take(of_example[name], part.axes, part.indices) for name, part in parts.items()}
        for of_example, _ in found
    ]


def on_slices(case: Case, mask: Mask, examples: range) -> Statistics:
    wanted = Wanted(wanted_slices(mask), mask_statistics=False)
    encoded = case.encoded.select(examples)
    return collect(case.model, case.layout, case.task, encoded, batch_tokens=60, wanted=wanted).statistics


def close(one: Tensor, other: Tensor) -> bool:
    """Within rounding of the largest entry."""
    return float((one - other).abs().max()) <= 1e-9 * max(float(other.abs().max()), 1e-12)


@pytest.mark.parametrize("family", [*FAMILIES, "gpt2"])
def test_eigenvalues_are_mean_squares_of_turned_gradients(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    parts = matrix_slices(half_mask(case), case.model)
    found = find_curvature(sample_of(case), parts)
    assert found.keys() == parts.keys()
    gradients = gradients_of(case, parts, range(FORGET, SIZE))
    for name, one in found.items():
        left, right = one.basis.left, one.basis.right
        for q in (left, right):
            assert close(q.T @ q, torch.eye(len(q), dtype=torch.float64)), name
        squares = [(left.T @ of_example[name] @ right) ** 2 for of_example in gradients]
        assert close(one.eigenvalues, torch.stack(squares).mean(0)), name
        assert float(one.eigenvalues.max()) > 0


def test_bases_diagonalise_the_factors_of_the_layer(tmp_path: Path) -> None:
    """A and G from hooks, example by example, so that nothing is padded."""
    case = make_case(tmp_path, "bert", count=SIZE)
    part = matrix_slices(half_mask(case), case.model)
    path = "bert.encoder.layer.0.intermediate.dense"
    module = case.model.get_submodule(path)
    factors: list[tuple[Tensor, Tensor]] = []

    def listen(_: object, args: tuple[Tensor], output: Tensor) -> None:
        inputs = args[0].detach()
        output.requires_grad_().register_hook(lambda deltas: factors.append((inputs[0], deltas[0])))

    handle = module.register_forward_hook(listen)
    for number in range(FORGET, SIZE):
        oracle.example_loss(case.model, case.task, case.encoded, number).backward()
    handle.remove()
    rows = part[f"{path}.weight"].indices
    assert part[f"{path}.weight"].axes == (0,)
    assert len(factors) == SIZE - FORGET
    g = torch.stack([deltas[:, rows].T @ deltas[:, rows] for _, deltas in factors]).sum(0)
    a = torch.stack([inputs.T @ inputs for inputs, _ in factors]).sum(0)
    basis = find_bases(sample_of(case), part)[f"{path}.weight"]
    for q, factor in ((basis.left, g), (basis.right, a)):
        turned = q.T @ factor @ q
        assert close(turned, turned.diagonal().diag())
        assert not close(factor, factor.diagonal().diag())


@pytest.mark.parametrize("batch_tokens", [1, 1000])
def test_batches_do_not_matter(batch_tokens: int, tmp_path: Path) -> None:
    """Law 1, for Λ; eigenvectors are the same up to their signs."""
    case = make_case(tmp_path, "bert", count=SIZE)
    parts = matrix_slices(half_mask(case), case.model)
    bases = find_bases(sample_of(case), parts)
    one, other = (correct_eigenvalues(sample_of(case, size), parts, bases) for size in (60, batch_tokens))
    assert all(close(one[name].eigenvalues, other[name].eigenvalues) for name in parts)


@pytest.mark.parametrize("damping", [0.0, DAMPING])
@pytest.mark.parametrize("family", FAMILIES)
def test_factors_that_are_diagonal_give_the_diagonal_step(
    family: str, damping: float, tmp_path: Path
) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    mask = half_mask(case)
    forget, remaining = on_slices(case, mask, range(FORGET)), on_slices(case, mask, range(FORGET, SIZE))
    expected = second_order_direction(forget, remaining, mask, damping=damping)
    parts = matrix_slices(mask, case.model)
    draw = torch.Generator().manual_seed(0)
    bases = {
        name: Basis.of(*(torch.rand(size, generator=draw).diag() for size in remaining.fisher[name].shape))
        for name in parts
    }
    curvature = correct_eigenvalues(sample_of(case), parts, bases)
    found = corrected(expected, forget, curvature, damping)
    assert found.steps.keys() == expected.steps.keys()
    for name, step in expected.steps.items():
        assert torch.allclose(found.steps[name].values, step.values, rtol=1e-9, atol=0), name


def ekfac(case: Case, mask: Mask) -> tuple[Direction, Direction, Mapping[str, Curvature]]:
    """The direction of the diagonal, that of EK-FAC, and its curvature."""
    forget, remaining = on_slices(case, mask, range(FORGET)), on_slices(case, mask, range(FORGET, SIZE))
    diagonal = second_order_direction(forget, remaining, mask, damping=DAMPING)
    curvature = find_curvature(sample_of(case), matrix_slices(mask, case.model))
    return diagonal, corrected(diagonal, forget, curvature, DAMPING), curvature


def test_the_step_solves_with_the_damped_curvature(tmp_path: Path) -> None:
    """(C + λ·mean Λ) d = g, with C = Q_G ⊗ Q_A · Λ · (Q_G ⊗ Q_A)ᵀ as one large matrix."""
    case = make_case(tmp_path, "bert", count=SIZE)
    mask = half_mask(case)
    _, found, curvature = ekfac(case, mask)
    g = on_slices(case, mask, range(FORGET)).gradient
    for path in ("attention.self.query", "output.dense"):
        name = f"bert.encoder.layer.1.{path}.weight"
        one = curvature[name]
        vectors = torch.kron(one.basis.left, one.basis.right)
        matrix = vectors @ one.eigenvalues.flatten().diag() @ vectors.T
        matrix += DAMPING * one.eigenvalues.mean() * torch.eye(len(matrix), dtype=torch.float64)
        assert close(matrix @ found.steps[name].values.flatten(), g[name].flatten())


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_outside_the_mask_moves(family: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, family, count=SIZE)
    mask = half_mask(case)
    diagonal, found, _ = ekfac(case, mask)
    before = {name: parameter.clone() for name, parameter in case.model.named_parameters()}
    found.apply(case.model, 1e-3)
    for name, parameter in case.model.named_parameters():
        frozen = torch.ones_like(parameter, dtype=torch.bool)
        if name in found.steps:
            step = found.steps[name]
            frozen.index_fill_(step.axes[0], step.indices, False)
            if parameter.ndim > 1:
                assert not torch.equal(parameter, before[name]), name
        assert torch.equal(parameter[frozen], before[name][frozen]), name
    biases = [name for name in found.steps if case.model.get_parameter(name).ndim == 1]
    assert all(found.steps[name] is diagonal.steps[name] for name in biases)


def test_an_empty_mask_needs_nothing(tmp_path: Path) -> None:
    case = make_case(tmp_path, "bert", count=SIZE)
    assert find_curvature(sample_of(case), matrix_slices(Mask.zeros(case.layout), case.model)) == {}
