"""What is refused before a pass, and what is left to autograd."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from transformers import PreTrainedModel

from laws import Case, Notes, largest_difference, make_case
from oracles import statistics as oracle
from speu_cli.errors import ArtifactError
from speu_cli.statistics.check import _judge
from speu_cli.statistics.collector import Collected, collect
from speu_cli.statistics.wanted import Scope, Wanted, wanted_parameters
from tiny import FAMILIES

EXACT = 1e-10


def collected(
    case: Case, *, scope: Scope = "all", batch_tokens: int = 60, progress: Notes | None = None
) -> Collected:
    wanted = Wanted(wanted_parameters(case.model, case.layout, scope))
    return collect(
        case.model,
        case.layout,
        case.task,
        case.encoded,
        batch_tokens=batch_tokens,
        wanted=wanted,
        progress=progress,
    )


def with_head(case: Case, head: nn.Module) -> Case:
    """Another last layer, from 16 features to two classes."""
    torch.manual_seed(0)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    case.model.set_submodule("classifier", head.eval().requires_grad_(False).to(case.model.dtype))
    return case


def assert_as_it_was(model: nn.Module) -> None:
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dropout_that_is_left_on_is_refused_and_named(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    case.model.train()
    with pytest.raises(ArtifactError, match=r"expected dropout off: bert\.embeddings\.dropout, ") as told:
        collected(case)
    assert "model.eval()" in str(told.value.hint)
    case.model.eval()
    case.model.get_submodule("bert.encoder.layer.1.output.dropout").train()
    with pytest.raises(ArtifactError, match=r"1 modules .*: bert\.encoder\.layer\.1\.output\.dropout$"):
        collected(case)


def test_a_module_in_training_mode_that_is_no_dropout_is_refused_and_named(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    case.model.get_submodule("bert.pooler").training = True
    with pytest.raises(ArtifactError, match=r"expected dropout off: bert\.pooler$"):
        collected(case)


class Noisy(nn.Linear):
    """Random in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.dropout(x, 0.5, training=True))


def test_a_model_that_gives_two_losses_for_one_batch_is_refused(tmp_path: Path) -> None:
    case = with_head(make_case(tmp_path), Noisy(16, 2))
    with pytest.raises(ArtifactError, match=r"gives two losses for example 'row-0-\d+' of one batch"):
        collected(case)
    assert_as_it_was(case.model)


@pytest.mark.parametrize("longest", [False, True])
def test_an_example_without_a_finite_loss_is_named(longest: bool, tmp_path: Path) -> None:
    """One of the shortest is met before the pass, the longest in it."""
    case = make_case(tmp_path)
    lengths = case.encoded.lengths
    odd = lengths.index(max(lengths) if longest else min(lengths))
    seen_elsewhere = {
        token for i, row in enumerate(case.encoded.rows) if i != odd for token in row["input_ids"]
    }
    tokens = set(case.encoded.rows[odd]["input_ids"]) - seen_elsewhere
    if not tokens:  # no word is its own: give it one
        tokens = {next(token for token in range(64) if token not in seen_elsewhere)}
        case.encoded.rows[odd]["input_ids"][1] = next(iter(tokens))
    case.model.get_input_embeddings().weight[next(iter(tokens))] = torch.nan
    with pytest.raises(
        ArtifactError, match=f"loss on example '{case.encoded.ids[odd]}' is not finite"
    ) as told:
        collected(case)
    assert "--exclude" in str(told.value.hint)
    assert_as_it_was(case.model)


def test_a_model_without_any_finite_loss_is_refused(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    case.model.get_parameter("classifier.bias").fill_(torch.inf)
    with pytest.raises(ArtifactError, match=r"on example 'row-0-\d+', 'row-0-\d+' is not finite"):
        collected(case)


class Transposed(nn.Module):
    """A linear layer in a model that has the tokens in the first dimension, the examples in the second."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(0, 1)).transpose(0, 1)


def transpose_a_layer(case: Case) -> str:
    case.model.set_submodule("bert.embeddings.dropout", Transposed().double().eval().requires_grad_(False))
    return "bert.embeddings.dropout.inner.weight"


def double_an_output(case: Case) -> str:
    case.model.get_submodule("classifier").register_forward_hook(lambda _, __, output: 2 * output)
    return "classifier.bias, classifier.weight"


def replace_a_forward(case: Case) -> str:
    """Of the module alone, not of its class."""
    pooler = case.model.get_submodule("bert.pooler.dense")
    weight, bias = pooler.get_parameter("weight"), pooler.get_parameter("bias")
    pooler.forward = lambda x: functional.linear(x, weight**2, bias)
    return "bert.pooler.dense.weight"


def use_a_weight_twice(case: Case) -> str:
    """By its module, and by a function."""
    words = case.model.get_input_embeddings().weight
    pooler = case.model.get_submodule("bert.pooler")
    pooler.register_forward_hook(lambda _, __, output: output + 100 * words[3] * output.mean())
    return "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    "spoil", [transpose_a_layer, double_an_output, replace_a_forward, use_a_weight_twice]
)
def test_a_rule_that_does_not_fit_the_model_is_refused(spoil: Callable[[Case], str], tmp_path: Path) -> None:
    case = make_case(tmp_path)
    collected(case)
    names = spoil(case)
    with pytest.raises(ArtifactError, match="differ from autograd's, expected the same") as told:
        collected(case)
    assert names in str(told.value)
    for module in case.model.modules():
        module._forward_hooks.clear()  # what the test itself has put there
    assert_as_it_was(case.model)


def test_examples_that_are_not_in_the_first_dimension_are_refused(tmp_path: Path) -> None:
    """Where their number does not even divide the rows."""

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.inner(functional.pad(x.flatten(0, 1), (0, 0, 0, 1)))
            return rows[:-1].view_as(x)

    case = make_case(tmp_path)
    case.model.set_submodule("bert.embeddings.dropout", Flat().double().eval().requires_grad_(False))
    with pytest.raises(ArtifactError, match=r"'bert\.embeddings\.dropout\.inner' gives an output of shape"):
        collected(case)
    assert_as_it_was(case.model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_rounding_noise_of_a_half_type_is_no_wrong_rule(
    family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """In place of the gradient of a key's bias, which is zero, autograd gives what rounding leaves."""
    case = make_case(tmp_path, family, dtype=dtype)
    for start in range(0, 16, 2):
        pair = replace(case, encoded=case.encoded.select([start, start + 1]))
        assert collected(pair, scope="structures").statistics.count == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_wrong_rule_is_refused_in_a_half_type_too(dtype: torch.dtype, tmp_path: Path) -> None:
    case = make_case(tmp_path, dtype=dtype)
    double_an_output(case)
    with pytest.raises(ArtifactError, match=r"classifier\.weight"):
        collected(case)


def test_on_a_gpu_the_rounding_of_tf32_is_no_wrong_rule() -> None:
    differences = {"value.weight": (1.0, 1e-6), "key.weight": (1e-5, 5e-4)}
    for device, refused in (("cuda", False), ("cpu", True)):
        model = SimpleNamespace(dtype=torch.float32, device=torch.device(device))
        with pytest.raises(ArtifactError, match=r"key\.weight") if refused else nullcontext():
            assert _judge(differences, set(differences), cast(PreTrainedModel, model)) == set()


class Gated(nn.Module):
    """A layer of a type that no rule knows, with one inside that a rule does know."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(16))
        self.mixed = nn.Parameter(torch.empty(16, 16))
        self.inner = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.tanh(x @ self.mixed) * self.gate.sigmoid())


class Functional(nn.Module):
    """Uses the parameters of a module without running it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.inner.weight, self.inner.bias)


class Squaring(nn.Linear):
    """A subclass with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight**2, self.bias)


class Extended(nn.Linear):
    """A subclass with the forward of a linear layer, and a parameter that someone else uses."""

    def __init__(self) -> None:
        super().__init__(16, 2)
        self.scale = nn.Parameter(torch.empty(2))


class Scaled(nn.Module):
    """That someone else."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Extended()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.inner.scale


HEADS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "gated": (Gated, ["gate", "mixed"]),
    "functional": (Functional, ["inner.bias", "inner.weight"]),
    "squaring": (lambda: Squaring(16, 2), ["bias", "weight"]),
    "scaled": (Scaled, ["inner.scale"]),
    "weight_norm": (
        lambda: parametrizations.weight_norm(nn.Linear(16, 2)),
        ["parametrizations.weight.original0", "parametrizations.weight.original1"],
    ),
}


@pytest.mark.parametrize("batch_tokens", [1, 60])
@pytest.mark.parametrize("head", HEADS)
def test_what_no_rule_covers_is_left_to_autograd_and_told_once(
    head: str, batch_tokens: int, tmp_path: Path
) -> None:
    make, uncovered = HEADS[head]
    case, told = with_head(make_case(tmp_path), make()), Notes()
    found = collected(case, progress=told, batch_tokens=batch_tokens)
    names = [f"classifier.{name}" for name in uncovered]
    assert len(told.notes) == 1
    assert told.notes[0].startswith(f"no rule for the layers of {len(names)} parameters: autograd")
    assert told.notes[0].endswith(f": {', '.join(names)}")
    assert_as_it_was(case.model)
    everything = dict(case.model.named_parameters())
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded, everything)
    assert largest_difference(found.statistics, expected) < EXACT
    for name in names:  # relative to itself: other parameters' are larger
        assert torch.allclose(found.statistics.fisher[name], expected.fisher[name], rtol=1e-9, atol=1e-15)


def test_many_parameters_without_a_rule_are_not_all_named(tmp_path: Path) -> None:
    head = Gated()
    for number in range(6):
        head.register_parameter(f"extra{number}", nn.Parameter(torch.zeros(1, 1)))
    case, told = with_head(make_case(tmp_path), head), Notes()
    collected(case, progress=told)
    assert told.notes[0].count("classifier.") == 5
    assert "of 8 parameters" in told.notes[0]
    assert told.notes[0].endswith(", …")


def test_a_layer_without_a_rule_outside_the_scope_is_of_no_concern(tmp_path: Path) -> None:
    case, told = with_head(make_case(tmp_path), Gated()), Notes()
    found = collected(case, scope="structures", progress=told)
    assert not told.notes
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded)
    assert largest_difference(found.statistics, expected) < EXACT


def test_a_tied_parameter_that_one_of_its_users_has_no_rule_for_is_left_to_autograd(tmp_path: Path) -> None:
    case, told = make_case(tmp_path), Notes()
    case = with_head(case, Squaring(16, 64))
    case.model.get_submodule("classifier").weight = case.model.get_input_embeddings().weight
    found = collected(case, progress=told)
    assert "of 2 parameters" in told.notes[0]
    assert "bert.embeddings.word_embeddings.weight" in told.notes[0]
    everything = dict(case.model.named_parameters())
    expected = oracle.statistics(case.model, case.layout, case.task, case.encoded, everything)
    assert largest_difference(found.statistics, expected) < EXACT


def test_a_parameter_that_nothing_uses_has_sums_of_zero(tmp_path: Path) -> None:
    case = make_case(tmp_path)
    case.model.register_parameter("spare", nn.Parameter(torch.ones(3).double(), requires_grad=False))
    case.model.add_module("idle", nn.Linear(4, 4).double().eval().requires_grad_(False))
    found = collected(case).statistics
    for name in ("spare", "idle.weight", "idle.bias"):
        assert not found.fisher[name].any()
        assert not found.gradient[name].any()
    assert found.fisher["idle.weight"].shape == (4, 4)
