"""The rule of each layer type against autograd, one token at a time."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from oracles.statistics import bent, token_gradients
from speu_cli.statistics.factors import Factor
from speu_cli.statistics.kernels import compiled
from speu_cli.statistics.rules import find_rule, rms_norm
from speu_cli.statistics.rules.bias import bias_gradients
from speu_cli.statistics.wanted import Part

Precision = tuple[torch.dtype, float]
DOUBLE, SINGLE = (torch.float64, 1e-10), (torch.float32, 1e-5)
Draw = torch.Generator


class Drawn(NamedTuple):
    """Tokens of each example, padding behind the longest; whether the model reads one token of each alone."""

    lengths: list[int]
    padding: int
    one_read: bool
    width: int
    outputs: int
    seed: int


batches = given(
    st.builds(
        Drawn,
        lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5),
        padding=st.integers(0, 2),
        one_read=st.booleans(),
        width=st.integers(4, 9),
        outputs=st.integers(1, 40),
        seed=st.integers(0, 999),
    )
)
as_drawn = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
precisions = pytest.mark.parametrize("precision", [DOUBLE, SINGLE], ids=["double", "single"])


def randomised(module: nn.Module, dtype: torch.dtype, draw: Draw) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.copy_(drawn / max(1.0, parameter.shape[-1]) ** 0.5)
    return module.to(dtype)


def floats(batch: Drawn, width: int, dtype: torch.dtype, draw: Draw) -> Tensor:
    """Random inputs ``[n, t, width]``, in the padding too."""
    n, t = len(batch.lengths), max(1, max(batch.lengths) + batch.padding)
    return torch.randn(n, t, width, generator=draw, dtype=torch.float64).to(dtype)


def check_rule(module: nn.Module, inputs: Tensor, batch: Drawn, tolerance: float, draw: Draw) -> None:
    """Forward and backward in one batch; the loss is Σ w ⊙ bent(y) over the tokens that are no padding."""
    lengths, t = batch.lengths, inputs.shape[1]
    output = module(inputs)
    weights = torch.randn(output.shape, generator=draw, dtype=torch.float64).to(output.dtype)
    weights[torch.arange(t) >= torch.tensor(lengths)[:, None]] = 0
    if batch.one_read:
        read = torch.stack([torch.randint(max(1, length), (), generator=draw) for length in lengths])
        weights[torch.arange(t) != read[:, None]] = 0
    (deltas,) = torch.autograd.grad((weights * bent(output)).sum(), output)
    spans = torch.tensor([[k * t, length] for k, length in enumerate(lengths)])
    rule = find_rule(module)
    assert rule is not None
    factors = rule(module, inputs.flatten(0, 1), deltas.flatten(0, 1), spans)
    gradients = token_gradients(module, inputs, weights, lengths)
    for name, parameter in module.named_parameters():
        of_tokens = [of_example[name] for of_example in gradients]
        check_factor(factors[name], of_tokens, parameter.dtype, tolerance)
        axis = int(torch.randint(parameter.ndim, (), generator=draw))
        size = parameter.shape[axis]
        indices = torch.randperm(size, generator=draw)[: max(1, size // 2)]
        of_tokens = [of_example.index_select(axis + 1, indices) for of_example in of_tokens]
        check_factor(factors[name].select(Part((axis,), indices)), of_tokens, parameter.dtype, tolerance)


def check_factor(factor: Factor, of_tokens: list[Tensor], dtype: torch.dtype, tolerance: float) -> None:
    """Differences are relative to what was added up: a sum may cancel to next to nothing."""
    gradients, sizes = [g.sum(0) for g in of_tokens], [g.abs().sum(0) for g in of_tokens]
    squares, sums = torch.zeros(2, *gradients[0].shape, dtype=dtype).unbind()
    for _ in range(2):  # the second time to what is there already
        factor.add_to(squares, sums)
    expected_squares, expected_sums = sum(g**2 for g in gradients), sum(gradients)
    assert (squares - 2 * expected_squares).abs().max() <= 2 * tolerance * sum(s**2 for s in sizes).max()
    assert (sums - 2 * expected_sums).abs().max() <= 2 * tolerance * sum(sizes).max()
    for k, (gradient, size) in enumerate(zip(gradients, sizes, strict=True)):
        of_example = factor.of_example(k)
        assert of_example.shape == gradient.shape
        assert (of_example - gradient).abs().max() <= tolerance * size.max()


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled loop where it runs, and without it."""
    if request.param and compiled._library() is None:
        pytest.skip("the compiled loop was not built, or the processor has no AVX-512")
    if not request.param:
        monkeypatch.setattr(compiled, "_library", lambda: None)


@pytest.mark.usefixtures("loop")
@precisions
@pytest.mark.parametrize("bias", [True, False])
@as_drawn
@batches
def test_linear(precision: Precision, bias: bool, batch: Drawn) -> None:
    (dtype, tolerance), draw = precision, Draw().manual_seed(batch.seed)
    module = randomised(nn.Linear(5 * batch.width, batch.outputs, bias=bias), dtype, draw)
    check_rule(module, floats(batch, 5 * batch.width, dtype, draw), batch, tolerance, draw)


@pytest.mark.usefixtures("loop")
@precisions
@as_drawn
@batches
def test_conv1d(precision: Precision, batch: Drawn) -> None:
    (dtype, tolerance), draw = precision, Draw().manual_seed(batch.seed)
    module = randomised(Conv1D(batch.outputs, batch.width), dtype, draw)
    check_rule(module, floats(batch, batch.width, dtype, draw), batch, tolerance, draw)


@precisions
@pytest.mark.parametrize("padding_token", [None, 0, 2, -1])
@as_drawn
@batches
def test_embedding(precision: Precision, padding_token: int | None, batch: Drawn) -> None:
    """Of four tokens, so that most examples have one twice."""
    (dtype, tolerance), draw = precision, Draw().manual_seed(batch.seed)
    module = randomised(nn.Embedding(4, batch.width, padding_idx=padding_token), dtype, draw)
    n, t = floats(batch, 1, dtype, draw).shape[:2]
    check_rule(module, torch.randint(4, (n, t), generator=draw), batch, tolerance, draw)


def test_a_token_that_is_there_twice_is_summed_before_it_is_squared() -> None:
    module = nn.Embedding(3, 1)
    rule = find_rule(module)
    assert rule is not None
    tokens, deltas = torch.tensor([1, 1, 2, 1]), torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    factor = rule(module, tokens, deltas, torch.tensor([[0, 2], [2, 2]]))["weight"]
    squares, sums = torch.zeros(2, 3, 1).unbind()
    factor.add_to(squares, sums)
    assert squares[:, 0].tolist() == [0, (1 + 2) ** 2 + 8**2, 4**2]
    assert sums[:, 0].tolist() == [0, 1 + 2 + 8, 4]


@precisions
@pytest.mark.parametrize("bias", [True, False])
@as_drawn
@batches
def test_layer_norm(precision: Precision, bias: bool, batch: Drawn) -> None:
    (dtype, tolerance), draw = precision, Draw().manual_seed(batch.seed)
    module = randomised(nn.LayerNorm(batch.width, eps=1e-3, bias=bias), dtype, draw)
    check_rule(module, floats(batch, batch.width, dtype, draw), batch, tolerance, draw)


def of_transformers(path: str) -> type[nn.Module]:
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    assert issubclass(found, nn.Module)
    return found


Maker = Callable[[int], nn.Module]
RMS_NORMS: dict[str, Maker] = {
    "torch": partial(nn.RMSNorm, eps=1e-3),
    "torch without epsilon": nn.RMSNorm,
    **{path.rpartition(".")[2]: partial(of_transformers(path), eps=1e-3) for path in rms_norm.CLASSES},
}


@pytest.mark.parametrize(
    ("name", "precision"),
    # Gemma's class computes in single precision, its backward pass too, whatever the model's type.
    [(name, SINGLE) for name in RMS_NORMS] + [(name, DOUBLE) for name in RMS_NORMS if "Gemma" not in name],
    ids=lambda value: value if isinstance(value, str) else "single" if value == SINGLE else "double",
)
@as_drawn
@batches
def test_rms_norm(name: str, precision: Precision, batch: Drawn) -> None:
    (dtype, tolerance), draw = precision, Draw().manual_seed(batch.seed)
    module = randomised(RMS_NORMS[name](batch.width), dtype, draw)
    check_rule(module, floats(batch, batch.width, dtype, draw), batch, tolerance, draw)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rms_norm_of_small_inputs_of_a_half_type_adds_the_same_as_torch(dtype: torch.dtype) -> None:
    """Where no ε is given it is that of the type that torch computes in, not of the inputs'."""
    draw = Draw().manual_seed(0)
    module = randomised(nn.RMSNorm(8), dtype, draw)
    inputs, deltas = torch.randn(2, 20, 8, generator=draw).to(dtype).unbind()
    inputs = inputs / 50
    rule = find_rule(module)
    assert rule is not None
    found = rule(module, inputs, deltas, torch.tensor([[0, 20]]))["weight"].of_example(0)
    (expected,) = torch.autograd.grad(module(inputs), [module.get_parameter("weight")], deltas)
    assert (found - expected).norm() < torch.finfo(dtype).eps * expected.norm()


@pytest.mark.parametrize(
    "module",
    [nn.Linear(6, 5), Conv1D(5, 6), nn.Embedding(6, 5), nn.LayerNorm(6), nn.RMSNorm(6)],
    ids=lambda module: type(module).__name__,
)
def test_gradients_of_a_half_type_are_formed_in_single_precision(module: nn.Module) -> None:
    """From the same inputs and output gradients they are those of double precision."""
    draw = Draw().manual_seed(0)
    randomised(module, torch.bfloat16, draw)
    embeds = isinstance(module, nn.Embedding)
    inputs = (
        torch.randint(6, (12,), generator=draw) if embeds else torch.randn(12, 6, generator=draw).bfloat16()
    )
    with torch.no_grad():
        deltas = torch.rand(module(inputs).shape, generator=draw).bfloat16()  # of one sign: no sum cancels
    spans = torch.tensor([[0, 6], [6, 6]])
    rule = find_rule(module)
    assert rule is not None
    single = rule(module, inputs, deltas, spans)
    double = rule(module.double(), inputs if embeds else inputs.double(), deltas.double(), spans)
    for name, _ in module.named_parameters():
        found, expected = single[name].of_example(1), double[name].of_example(1)
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() <= SINGLE[1] * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_bias_gradient_that_rounding_could_have_made_is_zero(dtype: torch.dtype) -> None:
    """And one that is a few times larger than that is kept."""
    deltas = torch.randn(2 * 7, 3, generator=Draw().manual_seed(0), dtype=torch.float64).to(dtype)
    deltas[6] = -deltas[:6].double().sum(0).to(dtype)  # cancels in the first example, up to rounding
    found = bias_gradients(deltas, 2)
    assert not found[0].any()
    assert torch.allclose(found[1].double(), deltas[7:].double().sum(0), rtol=1e-5)
    deltas[0] += deltas[:7].abs().sum(0) * torch.finfo(dtype).eps * 200
    assert bias_gradients(deltas, 2)[0].all()


class Inheriting(nn.Linear):
    """Computes what its base class computes."""

    def extra_repr(self) -> str:
        return "inheriting"


class Overriding(nn.Linear):
    """Computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class BelowOverriding(Overriding):
    """Takes its forward from a class that has no rule."""


class Unrelated(nn.Module):
    """Is of no type that a rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


def test_a_subclass_has_the_rule_of_the_class_that_it_takes_its_forward_from() -> None:
    linear = find_rule(nn.Linear(2, 2))
    assert linear is not None
    assert find_rule(Inheriting(2, 2)) is linear
    assert find_rule(nn.MultiheadAttention(4, 2).out_proj) is linear
    for module in (Overriding(2, 2), BelowOverriding(2, 2), Unrelated(), nn.Bilinear(2, 2, 2)):
        assert find_rule(module) is None


def test_every_class_named_in_the_rule_of_root_mean_square_norms_is_there() -> None:
    rules = {find_rule(of_transformers(path)(4)) for path in rms_norm.CLASSES}
    assert rules == {find_rule(nn.RMSNorm(4))} != {None}
