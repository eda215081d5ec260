"""What a listener hears of a model's passes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from speu_cli.errors import ArtifactError
from speu_cli.statistics.factors import Factor
from speu_cli.statistics.listening import Heard, Listener
from speu_cli.structures.layout import Layout

N, T, WIDTH = 3, 4, 5
TOKENS = torch.tensor([[1, 2, 1, 1], [3, 3, 0, 0], [4, 0, 0, 0]])
LENGTHS = (4, 2, 1)
SPANS = torch.tensor([[k * T, length] for k, length in enumerate(LENGTHS)])


class Chain(nn.Module):
    """Tokens and positions, a layer that may run twice, a norm."""

    def __init__(self, runs: int = 1) -> None:
        super().__init__()
        self.runs = runs
        self.tokens = nn.Embedding(6, WIDTH)
        self.positions = nn.Embedding(9, WIDTH)
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])[None])
        for _ in range(self.runs):
            x = self.layer(x).tanh()
        self.layer(x)  # leads to nothing
        return self.norm(x)


def loss_of(model: nn.Module, examples: slice = slice(None)) -> Tensor:
    """Of the tokens that are no padding."""
    inside = torch.arange(T) < torch.tensor(LENGTHS)[examples, None]
    return (model(TOKENS[examples]).sin() * inside[..., None]).sum()


def prepared(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.double().eval().requires_grad_(False)


def heard_by(listener: Listener, model: nn.Module) -> dict[str, Factor]:
    heard: dict[str, Factor] = {}

    def once(name: str, factor: Factor) -> None:
        assert name not in heard
        heard[name] = factor

    with listener.attached(model), listener.hearing(SPANS, T, Heard(once, lambda *_: None)):
        loss_of(model).backward()
    return heard


def by_autograd(model: nn.Module, k: int) -> dict[str, Tensor]:
    parameters = dict(model.requires_grad_(True).named_parameters())
    gradients = torch.autograd.grad(loss_of(model, slice(k, k + 1)), list(parameters.values()))
    model.requires_grad_(False)
    return dict(zip(parameters, gradients, strict=True))


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_every_parameter_is_heard_once_with_the_gradient_of_each_example(runs: int) -> None:
    """However often its module runs, and where an output of it leads nowhere."""
    model = prepared(Chain(runs))
    names = {name for name, _ in model.named_parameters()}
    listener = Listener(model, Layout(()), names, units=False)
    assert listener.parameters == names
    assert not listener.without_rule
    heard = heard_by(listener, model)
    assert heard.keys() == names
    for k in range(N):
        for name, gradient in by_autograd(model, k).items():
            assert torch.allclose(heard[name].of_example(k), gradient, rtol=1e-10, atol=1e-13), name


def test_only_what_is_wanted_is_heard() -> None:
    model = prepared(Chain())
    heard = heard_by(Listener(model, Layout(()), {"layer.bias"}, units=False), model)
    assert heard.keys() == {"layer.bias"}
    assert torch.allclose(heard["layer.bias"].of_example(1), by_autograd(model, 1)["layer.bias"])


def test_what_lies_below_the_first_module_that_is_listened_to_is_not_differentiated() -> None:
    model = prepared(Chain())
    below: list[bool] = []
    model.layer.register_forward_pre_hook(lambda _, args: below.append(args[0].requires_grad))
    heard_by(Listener(model, Layout(()), {"norm.weight"}, units=False), model)
    heard_by(Listener(model, Layout(()), {"tokens.weight"}, units=False), model)
    assert below == [False, False, True, True]


def test_parameters_left_to_autograd_are_heard_no_more() -> None:
    model = prepared(Chain())
    names = {name for name, _ in model.named_parameters()}
    listener = Listener(model, Layout(()), names, units=False)
    listener.leave_to_autograd(model, {"layer.weight", "norm.weight", "norm.bias"})
    assert listener.without_rule == {"layer.weight", "norm.weight", "norm.bias"}
    assert heard_by(listener, model).keys() == listener.parameters == names - listener.without_rule


def test_a_norm_without_parameters_between_others() -> None:
    """A rule covers it, it has nothing to say."""
    model = Chain()
    model.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
    model = prepared(model)
    names = {name for name, _ in model.named_parameters()}
    listener = Listener(model, Layout(()), names, units=False)
    assert not listener.without_rule
    heard = heard_by(listener, model)
    assert torch.allclose(heard["layer.weight"].of_example(0), by_autograd(model, 0)["layer.weight"])


def test_hooks_are_there_only_while_it_is_attached_and_hear_only_while_it_listens() -> None:
    model = prepared(Chain())
    listener = Listener(model, Layout(()), {"layer.weight"}, units=False)
    with listener.attached(model):
        assert len(model.layer._forward_hooks) == 1
        assert not loss_of(model).requires_grad
    assert not model.layer._forward_hooks


def test_a_pass_that_fails_leaves_nothing_for_the_next() -> None:
    model = prepared(Chain(2))
    listener = Listener(model, Layout(()), {"layer.weight"}, units=False)
    failing = Heard(lambda *_: None, lambda *_: None)
    with pytest.raises(ZeroDivisionError), listener.attached(model), listener.hearing(SPANS, T, failing):
        loss_of(model)
        raise ZeroDivisionError
    heard = heard_by(listener, model)
    assert torch.allclose(heard["layer.weight"].of_example(2), by_autograd(model, 2)["layer.weight"])


@pytest.mark.parametrize("after_a_failure", [False, True])
def test_gradients_are_told_as_soon_as_the_last_use_is_known(after_a_failure: bool) -> None:
    """So that they need not be kept; where an output leads nowhere that is at the end."""
    model, told = prepared(Chain()), []
    listener = Listener(model, Layout(()), {"layer.weight", "norm.weight"}, units=False)
    heard = Heard(lambda name, _: told.append(name), lambda *_: None)
    with listener.attached(model):
        if after_a_failure:
            with pytest.raises(ZeroDivisionError), listener.hearing(SPANS, T, heard):
                loss_of(model)
                raise ZeroDivisionError
        with listener.hearing(SPANS, T, heard):
            loss_of(model).backward()
            assert told == ["norm.weight"]
        assert told == ["norm.weight", "layer.weight"]


def flat(x: Tensor, layer: nn.Module) -> Tensor:
    rows: Tensor = layer(torch.cat([x.flatten(0, 1), x[0, :1]]))
    return rows[:-1].view_as(x)


class Around(nn.Module):
    """Something else around the layer."""

    def __init__(self, around: Callable[[Tensor, nn.Module], Tensor]) -> None:
        super().__init__()
        self.around, self.layer, self.tokens = around, nn.Linear(WIDTH, WIDTH), nn.Embedding(6, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.around(self.tokens(tokens), self.layer)


def test_rows_that_are_not_of_the_examples_alike_are_refused() -> None:
    model = prepared(Around(flat))
    with pytest.raises(ArtifactError, match=r"'layer' gives an output of shape \[13, 5\] for 3 examples"):
        heard_by(Listener(model, Layout(()), {"layer.weight"}, units=False), model)


@pytest.mark.parametrize(
    "around",
    [
        lambda x, layer: layer(x.flatten(0, 1)).view_as(x),
        lambda x, layer: layer(x[:, :, None]).squeeze(2),
        lambda x, layer: torch.cat([layer(x[:, :1]), x[:, 1:]], 1),
        lambda x, layer: layer(x[:, 0])[:, None] * x,
        lambda x, layer: layer(x.repeat(1, 2, 1)).unflatten(1, (2, T)).sum(1),
    ],
    ids=["flattened", "one_more_dimension", "first_token", "first_token_alone", "more_rows_than_tokens"],
)
def test_shapes_in_which_a_layer_may_see_the_examples(around: Callable[[Tensor, nn.Module], Tensor]) -> None:
    model = prepared(Around(around))
    heard = heard_by(Listener(model, Layout(()), {"layer.weight", "layer.bias"}, units=False), model)
    for k in range(N):
        expected = by_autograd(model, k)
        for name, factor in heard.items():
            assert torch.allclose(factor.of_example(k), expected[name], rtol=1e-10, atol=1e-13)
    assert heard.keys() == {"layer.weight", "layer.bias"}
