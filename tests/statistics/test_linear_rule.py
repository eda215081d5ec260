"""The rule of linear layers against a loop over examples."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from speu_cli.statistics.kernels import squares
from speu_cli.statistics.rules import linear
from speu_cli.statistics.rules.linear import add_bias_gradients, add_weight_gradients

EXAMPLES = {"n": st.integers(1, 5), "t": st.integers(1, 6), "seed": st.integers(0, 99)}
same_fixture_for_all = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[True, False], ids=["compiled", "plain"], autouse=True)
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With the compiled loop where it runs, and without it."""
    if request.param and squares._library() is None:
        pytest.skip("the compiled loop was not built, or the processor has no AVX-512")
    if not request.param:
        monkeypatch.setattr(squares, "_library", lambda: None)
    return bool(request.param)


def sums_of_weight(a: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    squares, sums = torch.zeros(2, delta.shape[-1], a.shape[-1], dtype=torch.float64).unbind()
    add_weight_gradients(squares, sums, a, delta)
    return squares, sums


def gradients_of(a: Tensor, delta: Tensor) -> list[Tensor]:
    """Of the weight, one example after the other, in float64."""
    return [one.double().T @ other.double() for one, other in zip(delta, a, strict=True)]


@same_fixture_for_all
@given(**EXAMPLES, i=st.integers(1, 7), o=st.integers(1, 7))
def test_sums_of_per_example_gradients_and_their_squares(n: int, t: int, i: int, o: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a = torch.randn(n, t, i, generator=draw, dtype=torch.float64)
    delta = torch.randn(n, t, o, generator=draw, dtype=torch.float64)
    if seed % 3 == 0:  # as where only one position is read
        delta[:, 1:] = 0
    of_weight = gradients_of(a, delta)
    of_bias = [delta[k].sum(0) for k in range(n)]
    squares, sums = sums_of_weight(a, delta)
    assert torch.allclose(squares, sum(g**2 for g in of_weight))
    assert torch.allclose(sums, sum(of_weight))
    squares, sums = torch.zeros(2, o, dtype=torch.float64).unbind()
    add_bias_gradients(squares, sums, delta)
    assert torch.allclose(squares, sum(g**2 for g in of_bias))
    assert torch.allclose(sums, sum(of_bias))


@same_fixture_for_all
@given(**EXAMPLES, i=st.integers(1, 70), o=st.integers(1, 20))
def test_single_precision_in_any_shape(n: int, t: int, i: int, o: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a, delta = torch.randn(n, t, i, generator=draw), torch.randn(n, t, o, generator=draw)
    gradients = gradients_of(a, delta)
    found = sums_of_weight(a, delta)
    expected = sum(g**2 for g in gradients), sum(gradients)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


@pytest.mark.parametrize("compiled", [True], indirect=True)
def test_the_compiled_loop_is_taken_in_single_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(squares, "add_squares", lambda *_: calls.append(1))
    for dtype, taken in ((torch.float32, 1), (torch.float64, 1), (torch.bfloat16, 1)):
        sums_of_weight(torch.ones(2, 3, 4, dtype=dtype), torch.ones(2, 3, 5, dtype=dtype))
        assert len(calls) == taken


def test_large_weights_are_worked_on_in_tiles_and_added_to_what_is_there() -> None:
    draw = torch.Generator().manual_seed(0)
    i = linear.TILE * torch.get_num_threads() // 3
    a, delta = torch.randn(2, 3, i, generator=draw), torch.randn(2, 3, 7, generator=draw)
    squares, sums = torch.ones(2, 7, i, dtype=torch.float64).unbind()
    for _ in range(2):
        add_weight_gradients(squares, sums, a, delta)
    gradients = gradients_of(a, delta)
    assert torch.allclose(squares, 1 + 2 * sum(g**2 for g in gradients), rtol=1e-4, atol=1e-6)
    assert torch.allclose(sums, 1 + 2 * sum(gradients), rtol=1e-4, atol=1e-5)


def test_different_single_positions_in_one_batch() -> None:
    a, delta = torch.randn(3, 4, 5), torch.zeros(3, 4, 2)
    for example, position in enumerate((2, 0, 3)):
        delta[example, position] = torch.randn(2)
    squares, sums = sums_of_weight(a, delta)
    gradients = gradients_of(a, delta)
    assert torch.allclose(squares, sum(g**2 for g in gradients), rtol=1e-4)
    assert torch.allclose(sums, sum(gradients), rtol=1e-4, atol=1e-6)
