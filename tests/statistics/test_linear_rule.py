"""The rule of linear layers against a loop over examples."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from speu_cli.statistics.rules import linear
from speu_cli.statistics.rules.linear import add_bias_gradients, add_weight_gradients


def sums_of_weight(a: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    squares, sums = torch.zeros(2, delta.shape[-1], a.shape[-1], dtype=torch.float64).unbind()
    add_weight_gradients(squares, sums, a, delta)
    return squares, sums


@given(
    n=st.integers(1, 5),
    t=st.integers(1, 6),
    i=st.integers(1, 7),
    o=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_sums_of_per_example_gradients_and_their_squares(n: int, t: int, i: int, o: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a = torch.randn(n, t, i, generator=draw, dtype=torch.float64)
    delta = torch.randn(n, t, o, generator=draw, dtype=torch.float64)
    if seed % 3 == 0:  # as where only one position is read
        delta[:, 1:] = 0
    of_weight = [delta[k].T @ a[k] for k in range(n)]
    of_bias = [delta[k].sum(0) for k in range(n)]
    squares, sums = sums_of_weight(a, delta)
    assert torch.allclose(squares, sum(g**2 for g in of_weight))
    assert torch.allclose(sums, sum(of_weight))
    squares, sums = torch.zeros(2, o, dtype=torch.float64).unbind()
    add_bias_gradients(squares, sums, delta)
    assert torch.allclose(squares, sum(g**2 for g in of_bias))
    assert torch.allclose(sums, sum(of_bias))


def test_large_weights_are_worked_on_in_tiles_and_added_to_what_is_there() -> None:
    draw = torch.Generator().manual_seed(0)
    i = linear.TILE * torch.get_num_threads() // 3
    a, delta = torch.randn(2, 3, i, generator=draw), torch.randn(2, 3, 7, generator=draw)
    squares, sums = torch.ones(2, 7, i, dtype=torch.float64).unbind()
    for _ in range(2):
        add_weight_gradients(squares, sums, a, delta)
    gradients = [delta[k].double().T @ a[k].double() for k in range(2)]
    assert torch.allclose(squares, 1 + 2 * sum(g**2 for g in gradients), rtol=1e-4, atol=1e-6)
    assert torch.allclose(sums, 1 + 2 * sum(gradients), rtol=1e-4, atol=1e-5)


def test_different_single_positions_in_one_batch() -> None:
    a, delta = torch.randn(3, 4, 5), torch.zeros(3, 4, 2)
    for example, position in enumerate((2, 0, 3)):
        delta[example, position] = torch.randn(2)
    squares, sums = sums_of_weight(a, delta)
    gradients = [delta[k].double().T @ a[k].double() for k in range(3)]
    assert torch.allclose(squares, sum(g**2 for g in gradients), rtol=1e-4)
    assert torch.allclose(sums, sum(gradients), rtol=1e-4, atol=1e-6)
