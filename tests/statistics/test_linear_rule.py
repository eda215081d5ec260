"""The rule of linear layers against a loop over examples."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.statistics.rules import linear
from speu_cli.statistics.rules.linear import sum_bias_gradients, sum_weight_gradients


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
    squares, sums = sum_weight_gradients(a, delta)
    assert torch.allclose(squares, sum(g**2 for g in of_weight))
    assert torch.allclose(sums, sum(of_weight))
    squares, sums = sum_bias_gradients(delta)
    assert torch.allclose(squares, sum(g**2 for g in of_bias))
    assert torch.allclose(sums, sum(of_bias))


def test_large_weights_are_worked_on_in_tiles() -> None:
    draw = torch.Generator().manual_seed(0)
    i = linear.TILE // 3
    a, delta = torch.randn(2, 3, i, generator=draw), torch.randn(2, 3, 7, generator=draw)
    squares, _ = sum_weight_gradients(a, delta)
    assert torch.allclose(squares, sum((delta[k].T @ a[k]) ** 2 for k in range(2)), rtol=1e-4, atol=1e-6)


def test_different_single_positions_in_one_batch() -> None:
    a, delta = torch.randn(3, 4, 5), torch.zeros(3, 4, 2)
    for example, position in enumerate((2, 0, 3)):
        delta[example, position] = torch.randn(2)
    squares, sums = sum_weight_gradients(a, delta)
    gradients = [delta[k].T @ a[k] for k in range(3)]
    assert torch.allclose(squares, sum(g**2 for g in gradients), rtol=1e-4)
    assert torch.allclose(sums, sum(gradients), rtol=1e-4, atol=1e-6)
