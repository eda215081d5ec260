"""The GPU's kernel against a loop over examples, interpreted; and whether it compiles."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode

from interpreted import Products, compile_kernel, found_after_trying, found_as_lists, largest_error, process
from speu_cli.statistics.kernels import triton_products
from speu_cli.statistics.kernels.triton_products import (
    CHUNKS,
    DTYPES,
    FLOAT32_CHUNKS,
    best_chunk,
    pack_chunks,
)

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is for Linux")
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ProcessPoolExecutor]:
    with process(TRITON_INTERPRET="1") as pool:
        yield pool


def error_of(products: Products, interpreter: ProcessPoolExecutor) -> float:
    squares, sums = interpreter.submit(found_as_lists, products).result()
    shape = products.height, products.width
    return largest_error(products, (torch.tensor(squares).view(shape), torch.tensor(sums).view(shape)))


@needs_triton
def test_any_lengths_and_any_weight(interpreter: ProcessPoolExecutor) -> None:
    @settings(max_examples=30, deadline=None)
    @given(
        st.builds(
            Products,
            lengths=st.lists(st.integers(0, 40), max_size=5).map(tuple),
            height=st.integers(1, 40),
            width=st.integers(1, 70),
            dtype=st.sampled_from(DTYPES),
            gap=st.integers(0, 2),
            more=st.integers(0, 3),
            seed=st.integers(0, 99),
        )
    )
    def check(products: Products) -> None:
        assert error_of(products, interpreter) < 1e-5

    check()


@needs_triton
@dtypes
@pytest.mark.parametrize(
    "lengths",
    [(1,), (64,), (65,), (130, 3), (1, 1, 1, 1), (0, 200, 0), (16, 32, 48)],
    ids=lambda lengths: "-".join(map(str, lengths)),
)
def test_examples_of_one_row_and_of_several_chunks(
    lengths: tuple[int, ...], dtype: torch.dtype, interpreter: ProcessPoolExecutor
) -> None:
    products = Products(lengths, height=17, width=33, dtype=dtype, gap=1, more=1)
    assert error_of(products, interpreter) < 1e-5


@needs_triton
@pytest.mark.parametrize("lengths", [(), (0,), (0, 0, 0)])
def test_no_rows_change_nothing(lengths: tuple[int, ...], interpreter: ProcessPoolExecutor) -> None:
    products = Products(lengths, height=3, width=4, dtype=torch.float32, gap=1)
    squares, sums, _, _ = products.draw()
    assert interpreter.submit(found_as_lists, products).result() == (squares.tolist(), sums.tolist())


@needs_triton
def test_trying_tilings_does_not_count(interpreter: ProcessPoolExecutor) -> None:
    products = Products((20, 3), height=17, width=33, dtype=torch.float32)
    *lists, runs = interpreter.submit(found_after_trying, products).result()
    assert runs == 4
    squares, sums = (torch.tensor(values) for values in lists)
    assert largest_error(products, (squares, sums)) < 1e-5


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 200)), max_size=6), st.sampled_from(CHUNKS))
def test_the_chunks_of_an_example_are_its_rows_in_order(spans: list[tuple[int, int]], size: int) -> None:
    chunks = pack_chunks(torch.tensor(spans, dtype=torch.int64).view(-1, 2), size).tolist()
    examples: list[list[int]] = [[]]
    for packed in chunks:
        first, length, ends = packed >> 16, (packed >> 1) % 2**15, packed % 2
        assert 1 <= length <= size
        examples[-1] += range(first, first + length)
        if ends:
            examples.append([])
    assert examples.pop() == []
    assert examples == [list(range(first, first + length)) for first, length in spans if length]


@pytest.mark.parametrize(
    ("lengths", "sizes", "expected"),
    [
        ((1,), CHUNKS, 16),
        ((16,) * 9, CHUNKS, 16),
        ((25,) * 9, CHUNKS, 32),
        ((128,), CHUNKS, 64),
        ((128,), FLOAT32_CHUNKS, 32),
        ((), CHUNKS, 16),
    ],
)
def test_short_examples_have_small_chunks(
    lengths: tuple[int, ...], sizes: tuple[int, ...], expected: int
) -> None:
    assert best_chunk(torch.tensor(lengths, dtype=torch.int64), sizes) == expected


def on_gpu(dtype: torch.dtype, total: torch.dtype = torch.float32) -> dict[str, Tensor]:
    shapes = {"squares": (8, 4), "sums": (8, 4), "inputs": (6, 4), "deltas": (6, 8)}
    types = {"squares": total, "sums": total, "inputs": dtype, "deltas": dtype}
    return {name: torch.empty(shape, dtype=types[name], device="cuda") for name, shape in shapes.items()}


def in_rows_apart(tensor: Tensor) -> Tensor:
    strides = tensor.shape[1] + 5, 1
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device=tensor.device)


def in_columns(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.T.shape, dtype=tensor.dtype, device=tensor.device).T


def test_only_what_the_kernel_can_do_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_products, "_runs_on", lambda _: True)
    fits = triton_products.fits
    with FakeTensorMode():  # tensors of a device that need not be there
        for dtype in DTYPES:
            assert fits(**on_gpu(dtype))
        good = on_gpu(torch.bfloat16)
        for dtype, total in ((torch.float64, torch.float32), (torch.float32, torch.float64)):
            assert not fits(**on_gpu(dtype, total))
        assert not fits(**good | {"deltas": good["deltas"].half()})
        for name in ("squares", "sums", "inputs", "deltas"):
            assert not fits(**good | {name: in_columns(good[name])})
            assert not fits(**good | {name: torch.empty_like(good[name], device="cpu")})
        assert fits(**good | {"inputs": in_rows_apart(good["inputs"])})


@pytest.mark.parametrize(
    ("triton", "compiler", "capability", "expected"),
    [
        (True, True, (9, 0), True),
        (True, True, (8, 0), True),
        (True, True, (7, 5), False),
        (False, True, (9, 0), False),
        (True, False, (9, 0), False),
    ],
)
def test_where_it_runs(
    triton: bool,
    compiler: bool,
    capability: tuple[int, int],
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(triton_products, "find_spec", lambda _: object() if triton else None)
    monkeypatch.setattr("shutil.which", lambda _: "/bin/gcc" if compiler else None)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    assert triton_products._runs_on.__wrapped__(torch.device("cuda")) == expected


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPoolExecutor]:
    with process(TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path_factory.mktemp("triton"))) as pool:
        yield pool


@needs_triton
@pytest.mark.parametrize(
    ("dtype", "rows", "capability", "shape", "multiply", "most_shared"),
    [
        ("bf16", 64, 80, (64, 64, 4), "mma.sync", 99),  # what the smaller GPUs of the generation have
        ("bf16", 64, 90, (128, 128, 8), "wgmma.mma_async", 227),
        ("fp32", 32, 90, (64, 64, 4), "wgmma.mma_async", 227),
    ],
)
def test_it_compiles_for_tensor_cores_with_loads_under_way(
    dtype: str,
    rows: int,
    capability: int,
    shape: tuple[int, int, int],
    multiply: str,
    most_shared: int,
    compiler: ProcessPoolExecutor,
) -> None:
    compiled = compiler.submit(compile_kernel, dtype, capability, shape, rows).result()
    assert multiply in compiled.instructions
    assert "cp.async" in compiled.instructions
    assert compiled.shared_memory <= most_shared * 1024
