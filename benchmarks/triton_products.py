"""What per-example products and their squares cost on a GPU, against the plain weight gradient.

The two are run in turn, pair by pair, in one process, so that a ratio holds on a machine whose speed drifts.
Usage: ``python benchmarks/triton_products.py --pairs 20 [-o results/FILE.json]``
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures import report
from torch import Tensor

from speu_cli.statistics.kernels import triton_products

# Output and input features of the linear layers.
WEIGHTS = {
    "bert-base": ((768, 768), (3072, 768), (768, 3072)),
    "llama-2-7b": ((4096, 4096), (11008, 4096), (4096, 11008)),
}
# Examples of a batch, and positions of each.
BATCHES = ((64, 128), (16, 70))


@dataclass(frozen=True)
class Work:
    """A weight and a batch of examples, in bfloat16; the totals in float32."""

    totals: Tensor
    inputs: Tensor
    deltas: Tensor
    spans: Tensor

    def plain(self) -> None:
        """The gradient of the batch's loss: one product."""
        torch.mm(self.deltas.T, self.inputs)

    def per_example(self) -> None:
        """Σ_n G_n² and Σ_n G_n."""
        squares, sums = self.totals.unbind()
        triton_products.add_products(squares, sums, self.inputs, self.deltas, self.spans)


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = _arguments()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA device, and there is none here.")
    if not triton_products.fits(*_as_tensors(make_work((16, 16), (1, 16)))):
        sys.exit("This benchmark needs Triton, a C compiler, and a GPU with tensor cores for bfloat16.")
    rows = [
        {"model": model, "weight": weight, "batch": batch}
        | measure(make_work(weight, batch), arguments.pairs)
        for model, weights in WEIGHTS.items()
        for weight in weights
        for batch in BATCHES
    ]
    report({"device": torch.cuda.get_device_name(), "dtype": "bfloat16", "rows": rows}, arguments.output)


def make_work(weight: tuple[int, int], batch: tuple[int, int]) -> Work:
    """Draw a and δ at random; zeros would be faster than real values."""
    (height, width), (examples, length) = weight, batch
    rows = examples * length
    return Work(
        totals=torch.zeros(2, height, width, device="cuda"),
        inputs=torch.randn(rows, width, device="cuda", dtype=torch.bfloat16),
        deltas=torch.randn(rows, height, device="cuda", dtype=torch.bfloat16),
        spans=torch.tensor([(first, length) for first in range(0, rows, length)]),
    )


def measure(work: Work, pairs: int) -> dict[str, Any]:
    """Milliseconds on the device, and the ratio of every pair."""
    cache = torch.empty(64 << 20, device="cuda", dtype=torch.int32)
    for run in (work.plain, work.per_example):
        _milliseconds(run, cache)  # compiles, and tries tilings
    times = [(_milliseconds(work.plain, cache), _milliseconds(work.per_example, cache)) for _ in range(pairs)]
    ratios = [per_example / plain for plain, per_example in times]
    return {
        "plain_ms": median(plain for plain, _ in times),
        "per_example_ms": median(per_example for _, per_example in times),
        "ratio": {"min": min(ratios), "median": median(ratios), "max": max(ratios)},
    }


def _milliseconds(run: Callable[[], None], cache: Tensor) -> float:
    """On the device's clock, with nothing of it in the second-level cache."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    cache.zero_()  # long enough, too, for the launch to be queued before it can start
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end))


def _as_tensors(work: Work) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    squares, sums = work.totals.unbind()
    return squares, sums, work.inputs, work.deltas


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
