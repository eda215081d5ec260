"""Objectives against closed forms."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from speu_cli.errors import InputError
from speu_cli.unlearning.objectives.ascent import GradientAscent
from speu_cli.unlearning.objectives.base import Moment, Objective, Scored, Set
from speu_cli.unlearning.objectives.difference import GradientDifference
from speu_cli.unlearning.objectives.direct_preference import DirectPreference
from speu_cli.unlearning.objectives.fine_tuning import FineTuning
from speu_cli.unlearning.objectives.negative_preference import NegativePreference
from speu_cli.unlearning.objectives.registry import OBJECTIVES, ObjectiveChoice, make_objective
from speu_cli.unlearning.objectives.sparsity import SparsityAware

SIZES = torch.tensor([1.0, 4.0, 7.0], dtype=torch.float64)
BETAS = pytest.mark.parametrize("beta", [1e-3, 0.1, 2.0])


def theta() -> Tensor:
    return torch.tensor([0.3, -1.2, 0.0, 2.5], dtype=torch.float64, requires_grad=True)


def losses(parameters: Tensor, seed: int) -> Tensor:
    """Three losses that depend on all parameters."""
    mixing = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.softplus(mixing @ parameters)


def moment(parameters: Tensor, *, off: float = 0.0, done: float = 0.0) -> Moment:
    """A step, the original model's log-likelihoods being ``off`` from the present ones."""
    sets: dict[Set, Scored] = {}
    for seed, name in enumerate(("forget", "remaining", "answers")):
        own = losses(parameters, seed)
        sets[name] = Scored(own, SIZES, (-own * SIZES).detach() + off * (seed + 1))
    return Moment(sets, [parameters], done)


def gradient(objective: Objective, *, off: float = 0.0) -> Tensor:
    parameters = theta()
    (found,) = torch.autograd.grad(objective.loss(moment(parameters, off=off)), [parameters])
    return found


def gradient_of_log_likelihood(seed: int) -> Tensor:
    parameters = theta()
    (found,) = torch.autograd.grad((-losses(parameters, seed) * SIZES).mean(), [parameters])
    return found


def test_fine_tuning_and_ascent_are_the_mean_loss_down_and_up() -> None:
    at = moment(theta())
    assert FineTuning().loss(at) == at.sets["remaining"].losses.mean()
    assert GradientAscent().loss(at) == -at.sets["forget"].losses.mean()


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_gradient_of_the_difference_is_that_of_ascent_plus_fine_tuning(weight: float) -> None:
    expected = gradient(GradientAscent()) + weight * gradient(FineTuning())
    torch.testing.assert_close(gradient(GradientDifference(weight)), expected, rtol=1e-14, atol=1e-14)


def test_the_difference_over_all_examples_turns_the_sign_of_those_to_forget() -> None:
    at = moment(theta())
    of_forget, of_remaining = (at.sets[name].losses for name in ("forget", "remaining"))
    expected = (2.5 * of_remaining.sum() - of_forget.sum()) / (len(of_forget) + len(of_remaining))
    torch.testing.assert_close(GradientDifference(2.5, "all").loss(at), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("schedule", "done", "factor"),
    [("constant", 0.0, 1.0), ("constant", 0.75, 1.0), ("linear", 0.0, 1.0), ("linear", 0.75, 0.25)],
)
def test_sparsity_adds_the_norm_of_what_is_trained(schedule: Any, done: float, factor: float) -> None:
    parameters = theta()
    at = moment(parameters, done=done)
    penalty = SparsityAware(0.5, schedule).loss(at) - FineTuning().loss(at)
    assert penalty.item() == pytest.approx(0.5 * factor * (0.3 + 1.2 + 2.5), rel=1e-14)
    (found,) = torch.autograd.grad(penalty, [parameters])
    torch.testing.assert_close(found, 0.5 * factor * torch.sign(parameters))


def test_the_default_penalty_is_the_papers() -> None:
    assert SparsityAware() == SparsityAware(5e-5, "constant")


@BETAS
def test_npo_at_the_reference(beta: float) -> None:
    """Law 9."""
    at = NegativePreference(beta).loss(moment(theta()))
    assert at.item() == pytest.approx(2 / beta * math.log(2), rel=1e-14)
    torch.testing.assert_close(gradient(NegativePreference(beta)), gradient_of_log_likelihood(0))


def test_npo_is_the_formula_written_out_away_from_the_reference() -> None:
    at = moment(theta(), off=0.7)
    # p_θ / p_reference = exp(−0.7) for every example, whatever its size
    expected = 2 / 0.1 * math.log(1 + math.exp(-0.7) ** 0.1)
    assert NegativePreference().loss(at).item() == pytest.approx(expected, rel=1e-12)


@BETAS
def test_dpo_at_the_reference(beta: float) -> None:
    at = DirectPreference(beta).loss(moment(theta()))
    assert at.item() == pytest.approx(2 / beta * math.log(2), rel=1e-14)
    expected = gradient_of_log_likelihood(0) - gradient_of_log_likelihood(2)
    torch.testing.assert_close(gradient(DirectPreference(beta)), expected)


def test_dpo_is_the_formula_written_out_away_from_the_reference() -> None:
    at = moment(theta(), off=0.7)
    difference = -0.7 * 3 - -0.7  # of the answers' log-ratio and the forget examples'
    expected = -2 / 0.1 * math.log(1 / (1 + math.exp(-0.1 * difference)))
    assert DirectPreference().loss(at).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [NegativePreference, DirectPreference])
def test_the_remaining_set_counts_where_it_is_asked_for(kind: Any) -> None:
    at = moment(theta(), off=0.2)
    added = kind(retain_weight=2.0).loss(at) - kind().loss(at)
    assert added.item() == pytest.approx(2 * at.mean_loss("remaining").item(), rel=1e-12)
    assert "remaining" in kind(retain_weight=2.0).reads
    assert "remaining" not in kind().reads


def test_a_preference_without_reference_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="reference"):
        Scored(SIZES, SIZES).gain()


@pytest.mark.parametrize("method", OBJECTIVES)
def test_every_method_has_defaults_and_reads_what_it_passes_over(method: str) -> None:
    objective = make_objective(method, ObjectiveChoice())
    assert set(objective.over) <= set(objective.reads)
    assert objective.dropout != objective.with_reference


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        ("ft", {"gamma": 1.0}, "belongs to sa"),
        ("sa", {"beta": 1.0}, "belongs to npo, dpo"),
        ("ga", {"retain_weight": 1.0}, "belongs to gd, npo, dpo"),
        ("npo", {"beta": 0.0}, "above 0"),
        ("gd", {"retain_weight": -1.0}, "at least 0"),
        ("sa", {"gamma": math.nan}, "finite"),
        ("sa", {"gamma_schedule": "cosine"}, "constant or linear"),
        ("magic", {}, "expected one of ft"),
    ],
)
def test_settings_that_do_not_fit_are_refused(method: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_objective(method, ObjectiveChoice(**given))
