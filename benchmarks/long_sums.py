"""What a million additions in single precision lose: plain, with the compensation of a pass, against float64.

Squares of normal numbers (F, B's diagonal) and the numbers themselves (g) are added one by one to totals of
a few thousand entries. The error is the difference from the sum in float64, for squares relative to it, for
g, whose sum may be near zero, relative to the square root of the sum of squares.

Usage: ``python benchmarks/long_sums.py [--additions 1000000] [-o results/FILE.json]``.
"""

import argparse
from pathlib import Path

import torch
from figures import report
from torch import Tensor

from speu_cli.statistics.totals import ADDITIONS, Total

BLOCK = 1000


def main() -> None:
    """Add, compare, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--additions", type=int, default=1_000_000)
    parser.add_argument("--entries", type=int, default=2048)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    squares, sums = Sums(arguments.entries), Sums(arguments.entries)
    random = torch.Generator().manual_seed(0)
    for _ in range(0, arguments.additions, BLOCK):
        for values in torch.randn(BLOCK, arguments.entries, generator=random):
            squares.add(values.square())
            sums.add(values)
    scale = squares.exact
    report(
        {
            "additions": arguments.additions,
            "entries": arguments.entries,
            "squares": squares.errors(scale),
            "sums": sums.errors(scale.sqrt()),
        },
        arguments.output,
    )


class Sums:
    """One sum, in three ways."""

    def __init__(self, entries: int) -> None:
        self.exact = torch.zeros(entries, dtype=torch.float64)
        self._plain = torch.zeros(entries)
        self._total = Total((entries,), torch.float32, torch.device("cpu"))
        self._count = 0

    def add(self, values: Tensor) -> None:
        """Add to each."""
        self.exact += values
        self._plain += values
        self._total.small += values
        self._count += 1
        if self._count % ADDITIONS == 0:
            self._total.fold()

    def errors(self, scale: Tensor) -> dict[str, dict[str, float]]:
        """Root mean square and largest relative error of an entry."""
        of_ways = {"plain": self._plain.double(), "compensated": self._total.result(torch.float64)}
        return {
            way: {
                "rms": float(((found - self.exact) / scale).square().mean().sqrt()),
                "largest": float(((found - self.exact) / scale).abs().max()),
            }
            for way, found in of_ways.items()
        }


if __name__ == "__main__":
    main()
