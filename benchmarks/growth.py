"""How time and memory of the statistics pass grow with the data and with the model, beside a plain pass.

Each point is a process of its own: layers of BERT-base with random weights, batches of 16 × 64 random tokens.
After a batch as warm-up a whole run is timed, what is done once a run included. Memory is the peak above what
the process held when the model was there. Rounds go over all points in turn: median time, highest peak.

Usage: ``python benchmarks/growth.py [-o results/FILE.json --picture docs/pictures/growth.png]``.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from clock import timed
from figures import report
from fresh import PeakMemory, in_fresh_process
from growth_picture import draw
from peers import METHODS
from peers.plain import Plain
from peers.speu import Speu
from subjects import RandomEncoder

NAMES = (Plain.name, Speu.name)
FACTORS = (1, 2, 4, 8)
LAYERS = (2, 4, 6, 12)


def main() -> None:
    """Measure, write the figures, and draw them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4, help="where the data grow")
    parser.add_argument("--batches", type=int, default=4, help="at 1 × the data, and where the model grows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    start = RandomEncoder(16, 64, arguments.layers, arguments.batches, arguments.device)
    figures = {
        "data": points(
            [replace(start, batches=start.batches * factor) for factor in FACTORS], arguments.rounds
        ),
        "model": points([replace(start, layers=layers) for layers in LAYERS], arguments.rounds),
    }
    report({"rounds": arguments.rounds, "device": arguments.device, **figures}, arguments.output)
    if arguments.picture:
        draw(figures, arguments.picture)


def points(choices: Sequence[RandomEncoder], rounds: int) -> list[dict[str, Any]]:
    """Figures of the methods for each subject, all measured in turn."""
    measured = [
        [{name: in_fresh_process(measure, choice, name) for name in NAMES} for choice in choices]
        for _ in range(rounds)
    ]
    return [
        {
            "layers": choice.layers,
            "tokens": choice.batches * choice.examples * choice.tokens,
            "methods": {name: _summary([of_round[i][name] for of_round in measured]) for name in NAMES},
        }
        for i, choice in enumerate(choices)
    ]


def measure(choice: RandomEncoder, name: str) -> dict[str, Any]:
    """Seconds of one run by the clock, and bytes above the model."""
    subject, encoded = choice.open()
    method = METHODS[name](subject)
    peak = PeakMemory(choice.device)
    method.run(encoded.select(range(choice.examples)))
    seconds = timed(partial(method.run, encoded), choice.device)["wall"]
    return {"seconds": seconds, "peak_memory_bytes": peak.bytes()}


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seconds = [run["seconds"] for run in runs]
    peaks = [run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"] is not None]
    return {
        "seconds": {"each": seconds, "median": statistics.median(seconds)},
        "peak_memory_bytes": max(peaks, default=None),
    }


if __name__ == "__main__":
    main()
