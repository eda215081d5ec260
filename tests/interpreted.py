"""Triton's kernels without a GPU: interpreted, or compiled for GPUs that are not there.

Whether Triton interprets is settled when it is imported, and other libraries import it too: hence a process
of its own.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from speu_cli.statistics.kernels import triton_products


@dataclass(frozen=True)
class Products:
    """A weight and examples of given lengths, with as many rows of NaN between them; drawn from the seed."""

    lengths: tuple[int, ...]
    height: int
    width: int
    dtype: torch.dtype
    gap: int = 0
    more: int = 0  # columns of the tensors that hold a and δ, beyond those that are theirs
    seed: int = 0

    @property
    def spans(self) -> Tensor:
        first, spans = self.gap, []
        for length in self.lengths:
            spans.append((first, length))
            first += length + self.gap
        return torch.tensor(spans, dtype=torch.int64).view(-1, 2)

    def draw(self, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Totals to add to, a and δ."""
        draw = torch.Generator().manual_seed(self.seed)
        squares, sums = torch.randn(2, self.height, self.width, generator=draw).unbind()
        rows = sum(self.lengths) + self.gap * (len(self.lengths) + 1)
        both = torch.full((rows, self.more + self.width + self.height), torch.nan)
        for first, length in self.spans.tolist():
            both[first : first + length] = torch.randn(length, both.shape[1], generator=draw)
        a, delta = both.to(self.dtype).to(device)[:, self.more :].split((self.width, self.height), dim=1)
        return squares.to(device).contiguous(), sums.to(device).contiguous(), a, delta

    def expected(self) -> tuple[Tensor, Tensor]:
        """Example after example, in float64, from the values as ``dtype`` has them."""
        squares, sums, a, delta = (tensor.double() for tensor in self.draw())
        for first, length in self.spans.tolist():
            gradient = delta[first : first + length].T @ a[first : first + length]
            squares = squares + gradient**2
            sums = sums + gradient
        return squares, sums

    def found(self, device: str = "cpu") -> tuple[Tensor, Tensor]:
        """What the kernel makes of it."""
        squares, sums, a, delta = self.draw(device)
        triton_products.add_products(squares, sums, a, delta, self.spans)
        return squares.cpu(), sums.cpu()


def largest_error(products: Products, found: tuple[Tensor, Tensor]) -> float:
    """Of any entry, relative to the largest entry of its kind of sum; NaN if any entry is."""
    pairs = list(zip(found, products.expected(), strict=True))
    return float(torch.stack([(one - other).abs().max() / other.abs().max() for one, other in pairs]).max())


@contextmanager
def process(**environment: str) -> Iterator[ProcessPoolExecutor]:
    """A fresh process, with more in its environment."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_set, initargs=(environment,)) as pool:
        yield pool


def _set(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def found_as_lists(products: Products) -> tuple[list[list[float]], list[list[float]]]:
    """For another process to read."""
    squares, sums = products.found()
    return squares.tolist(), sums.tolist()


def found_after_trying(products: Products) -> tuple[list[list[float]], list[list[float]], int]:
    """Likewise, but with two tilings to try, each of them twice; and how often one was run to be timed."""
    from triton import Config

    from speu_cli.statistics.kernels.triton_kernel import add_chunks

    runs = 0

    def time(run: Callable[[], None], quantiles: tuple[float, ...]) -> list[float]:
        nonlocal runs
        for _ in range(2):
            run()
            runs += 1
        return [1.0 for _ in quantiles]

    only = add_chunks.configs
    add_chunks.configs = [Config({"BLOCK_OUT": 16, "BLOCK_IN": width}) for width in (16, 32)]
    add_chunks.do_bench = time
    try:
        return *found_as_lists(products), runs
    finally:
        add_chunks.configs = only


@dataclass(frozen=True)
class Compiled:
    """What a compiled kernel is like."""

    instructions: str
    shared_memory: int


def compile_kernel(dtype: str, capability: int, shape: tuple[int, int, int], rows: int) -> Compiled:
    """Compile the kernel as for weights whose sides are multiples of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from speu_cli.statistics.kernels.triton_kernel import STAGES, add_chunks

    height, width, warps = shape
    kernel = add_chunks.fn
    sizes = ("height", "width", "inputs_stride", "deltas_stride")
    types = {
        "squares": "*fp32",
        "sums": "*fp32",
        "inputs": f"*{dtype}",
        "deltas": f"*{dtype}",
        "chunks": "*i64",
    }
    constants = {"BLOCK_T": rows, "BLOCK_OUT": height, "BLOCK_IN": width}
    types |= {"count": "i32"} | dict.fromkeys(sizes, "i32") | dict.fromkeys(constants, "constexpr")
    places = {name: (place,) for place, name in enumerate(kernel.arg_names)}
    multiples = {
        places[name]: [["tt.divisibility", 16]] for name in types.keys() - constants.keys() - {"count"}
    }
    source = ASTSource(kernel, types, {places[name]: value for name, value in constants.items()}, multiples)
    options = {"num_warps": warps, "num_stages": STAGES}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return Compiled(compiled.asm["ptx"], compiled.metadata.shared)
