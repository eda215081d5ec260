"""The GPU's kernel on a GPU, against a loop over examples."""

import pytest
import torch

from interpreted import Products, largest_error
from speu_cli.statistics.kernels import triton_products
from speu_cli.statistics.kernels.triton_products import DTYPES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
RAGGED = (128, 70, 0, 1, 64, 65, 200, 17, 16)


def make(
    dtype: torch.dtype, lengths: tuple[int, ...] = RAGGED, height: int = 200, width: int = 136
) -> Products:
    return Products(lengths, height=height, width=width, dtype=dtype, gap=2, more=8)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("height", "width"), [(200, 136), (768, 768), (33, 257), (1, 1)])
@pytest.mark.parametrize(
    "lengths", [RAGGED, (1,) * 9, (25,) * 40, (128,) * 64], ids=["ragged", "1", "25", "128"]
)
def test_right_on_the_gpu(dtype: torch.dtype, height: int, width: int, lengths: tuple[int, ...]) -> None:
    products = make(dtype, lengths, height, width)
    squares, sums, a, delta = products.draw("cuda")
    assert triton_products.fits(squares, sums, a, delta)
    triton_products.add_products(squares, sums, a, delta, products.spans)
    assert largest_error(products, (squares.cpu(), sums.cpu())) < 1e-5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_trying_tilings_does_not_count(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    from speu_cli.statistics.kernels.triton_kernel import SHAPES, add_chunks

    monkeypatch.setattr(add_chunks, "cache", {})  # as if this shape had never been seen
    monkeypatch.setattr(add_chunks, "cache_results", False)
    products = make(dtype)
    tuned, again = products.found("cuda"), products.found("cuda")
    assert len(add_chunks.configs_timings) == len(SHAPES)
    assert len(add_chunks.cache) == 1
    assert largest_error(products, tuned) < 1e-5
    for one, other in zip(tuned, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_tiling_is_right(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiling that no test's shape happens to find the fastest is right as well."""
    from triton.runtime.errors import OutOfResources

    from speu_cli.statistics.kernels.triton_kernel import add_chunks

    products, tried = make(dtype), 0
    for config in list(add_chunks.configs):
        monkeypatch.setattr(add_chunks, "configs", [config])
        try:
            found = products.found("cuda")
        except OutOfResources:  # one for larger GPUs
            continue
        assert largest_error(products, found) < 1e-5
        tried += 1
    assert tried >= 2
