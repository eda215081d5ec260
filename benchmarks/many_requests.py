"""Requests to one state, many of them: the same model in any order, and what the t-th costs.

``orders MODEL DATA`` serves 100 memory-aided requests of mixed sizes in three random orders, and all their
examples at once, and tells how far the models are apart: any steps in any order should give one model.
``cost MODEL DATA`` serves 1,000 requests of one example each, and tells time and memory of those from the
1st, the 10th, the 100th and up to the 1,000th, three as commands and six in this process, without the time of
imports; ``--rows`` does so with the data file cut to so many rows. DATA are JSON lines.

Usage: ``python benchmarks/many_requests.py orders|cost MODEL DATA [-o results/FILE.json]``.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, get_args

import psutil
from figures import report
from safetensors.torch import load_file
from torch import Tensor

from speu_cli import StepChoice, WatchChoice, compact_requests, fisher, serve_request, start_requests
from speu_cli.stages.unlearn import Method

REQUESTS, ORDERS, LARGEST = 100, 3, 8
RATE = 1e-6
COSTED, COMMANDS, CALLS = (1, 10, 100, 1000), 3, 6
WATCHED, KEPT = 64, 50


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["orders", "cost"])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", help="rows of the data file")
    parser.add_argument("--methods", nargs="+", default=["spe-so"], choices=get_args(Method))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = arguments.data.read_text(encoding="utf-8").splitlines(keepends=True)
    runs = []
    for rows in arguments.rows or [len(lines)]:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), arguments.model, lines[:rows])
            measure = {"orders": orders, "cost": cost}[arguments.what]
            runs += [
                {"rows": rows, "method": method, **measure(place, method)} for method in arguments.methods
            ]
    report({"what": arguments.what, "model": arguments.model.name, "runs": runs}, arguments.output)


class Place:
    """A model with data and statistics, and a folder for states.

    Args:
        folder: For all that is written.
        model: Its folder.
        lines: Rows of the training set.
    """

    def __init__(self, folder: Path, model: Path, lines: Sequence[str]) -> None:
        self.folder, self.model = folder, model
        self.ids: list[str] = [json.loads(line)["id"] for line in lines]
        self.data, self.statistics = folder / "train.jsonl", folder / "fisher.safetensors"
        self.data.write_text("".join(lines), encoding="utf-8")
        fisher(model, str(self.data), self.statistics)

    def state(self, name: str, method: Method) -> Path:
        """Begin a state."""
        state = self.folder / name
        step = StepChoice(rate=RATE, max_overshoot=1e9, target_loss=1.0)
        watch = WatchChoice(examples=WATCHED)
        start_requests(
            state, self.model, self.statistics, str(self.data), method=method, step=step, watch=watch
        )
        return state

    def serve(self, state: Path, ids: Sequence[str]) -> Path:
        """Serve a request; of models and sums only the last are kept."""
        asked, output = self.folder / "asked.txt", self.folder / f"{state.name}-model"
        asked.write_text("\n".join(ids), encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        serve_request(state, str(asked), output)
        return output

    def command(self, state: Path, ids: Sequence[str]) -> None:
        """Serve a request as a user does."""
        asked, output = self.folder / "asked.txt", self.folder / f"{state.name}-model"
        asked.write_text("\n".join(ids), encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        line = ["unlearn", "--state", str(state), "--forget", str(asked), "-o", str(output), "--json"]
        subprocess.run([sys.executable, "-m", "speu_cli", *line], check=True, capture_output=True)


def orders(place: Place, method: Method) -> dict[str, Any]:
    """Distances of the models that three orders give from that of one shot: of ‖θ‖, and of the step."""
    requests = list(_requests(place.ids))
    once = _weights(
        place.serve(place.state(f"{method}-once", method), [one for ids in requests for one in ids])
    )
    step = _distance(once, _weights(place.model))
    distances = []
    for seed in range(ORDERS):
        state = place.state(f"{method}-{seed}", method)
        for ids in random.Random(seed).sample(requests, len(requests)):
            model = place.serve(state, ids)
            compact_requests(state)
        found = _weights(model)
        tensors = {name: _distance({name: found[name]}, {name: once[name]}) for name in once}
        whole = _distance(found, once)
        worst = max(tensors.values())
        distances.append({"model": whole, "worst tensor": worst, "of the step": whole / step})
        print(json.dumps(distances[-1]), flush=True)
    return {
        "requests": len(requests),
        "examples": sum(map(len, requests)),
        "step": step,
        "distances": distances,
    }


def _requests(ids: Sequence[str]) -> Iterator[list[str]]:
    """Requests of 1 to 8 examples."""
    draw, left = random.Random(0), list(ids)
    for _ in range(REQUESTS):
        size = draw.randint(1, LARGEST)
        yield left[:size]
        left = left[size:]


def cost(place: Place, method: Method) -> dict[str, Any]:
    """Time and memory of requests, medians over some that follow one another."""
    state, process = place.state(method, method), psutil.Process()
    first_of = {number: min(number, max(COSTED) - COMMANDS - CALLS + 1) for number in COSTED}
    commands = {first + further for first in first_of.values() for further in range(COMMANDS)}
    seconds, memory = {}, {}
    for number, one in enumerate(place.ids[: max(COSTED)], start=1):
        started = time.perf_counter()
        (place.command if number in commands else place.serve)(state, [one])
        seconds[number] = time.perf_counter() - started
        memory[number] = process.memory_info().rss / 2**20
        if number % KEPT == 0:
            compact_requests(state)
    points = [
        {
            "request": number,
            "command_seconds": median(seconds[first + further] for further in range(COMMANDS)),
            "call_seconds": median(seconds[first + COMMANDS + further] for further in range(CALLS)),
            "memory_mib": memory[first + COMMANDS],
        }
        for number, first in first_of.items()
    ]
    times = ("command_seconds", "call_seconds")
    ratios = {name: [point[name] / points[0][name] for point in points] for name in times}
    return {"points": points, "ratios to the first": ratios}


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def _distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """‖θ − θ'‖ / ‖θ'‖."""
    off = sum(
        float((found[name].double() - tensor.double()).square().sum()) for name, tensor in expected.items()
    )
    size = sum(float(tensor.double().square().sum()) for tensor in expected.values())
    return (off / size) ** 0.5 if size else off


if __name__ == "__main__":
    main()
