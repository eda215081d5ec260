"""Requests to one state, many of them: the same model in any order, and what the t-th costs.

``orders MODEL DATA`` serves 100 memory-aided requests of mixed sizes in three random orders, and all their
examples at once, and tells how far the models are apart: any steps in any order should give one model.
``cost MODEL DATA`` serves 1,000 requests of one example each, keeps copies of the state before the 1st, 10th,
100th and 1,000th, and then serves these in turn, as commands and as calls in this process, without the
time of imports; ``--rows`` does so with the data file cut to so many rows. DATA are JSON lines.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, get_args

from clock import spread
from figures import report
from safetensors.torch import load_file
from torch import Tensor

from speu_cli import StepChoice, WatchChoice, compact_requests, fisher, serve_request, start_requests
from speu_cli.stages.unlearn import SecondOrder

REQUESTS, ORDERS, LARGEST = 100, 3, 8
RATE = 1e-6
COSTED, ROUNDS = (1, 10, 100, 1000), 7
WATCHED, COMPACTED = 64, 50
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["orders", "cost"])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", help="rows of the data file")
    parser.add_argument("--at", type=int, nargs="+", default=COSTED, help="which requests cost looks at")
    parser.add_argument("--methods", nargs="+", default=["spe-so"], choices=get_args(SecondOrder))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    lines = arguments.data.read_text(encoding="utf-8").splitlines(keepends=True)
    runs = []
    for rows in arguments.rows or [len(lines)]:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), arguments.model, lines[:rows])
            measure: Callable[[Place, SecondOrder], dict[str, Any]] = orders
            if arguments.what == "cost":
                measure = partial(cost, at=arguments.at)
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

    def state(self, name: str, method: SecondOrder) -> Path:
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

    def command(self, state: Path, ids: Sequence[str]) -> float:
        """Serve a request as a user does; gives the peak memory in MiB."""
        asked, output = self.folder / "asked.txt", self.folder / f"{state.name}-model"
        asked.write_text("\n".join(ids), encoding="utf-8")
        shutil.rmtree(output, ignore_errors=True)
        line = ["unlearn", "--state", str(state), "--forget", str(asked), "-o", str(output), "--json"]
        # A process begins with the peak of the one that starts it, so a small one stands in between.
        measured = [sys.executable, "-c", PEAK, sys.executable, "-m", "speu_cli", *line]
        return int(subprocess.run(measured, check=True, stdout=subprocess.PIPE).stdout) / 1024


def orders(place: Place, method: SecondOrder) -> dict[str, Any]:
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


def cost(place: Place, method: SecondOrder, at: Sequence[int]) -> dict[str, Any]:
    """Time and peak memory of some of many requests, from copies of the state, in turn and in rounds."""
    state, kept = place.state(method, method), {}
    for number, one in enumerate(place.ids[: max(at)], start=1):
        if number in at:
            compact_requests(state)
            kept[number] = shutil.copytree(state, place.folder / f"before-{number}")
        if number < max(at):
            place.serve(state, [one])
        if number % COMPACTED == 0:
            compact_requests(state)
    figures: dict[int, list[dict[str, float]]] = {number: [] for number in at}
    for _ in range(ROUNDS):
        for number, before in kept.items():
            asked = [place.ids[number - 1]]
            figures[number].append(_timed(place, before, asked))
    points = [
        {"request": number, **{name: median(run[name] for run in runs) for name in runs[0]}}
        for number, runs in figures.items()
    ]
    names = ("command_seconds", "call_seconds", "command_mib")
    ratios = {
        name: [
            spread([run[name] / first[name] for run, first in zip(runs, figures[at[0]], strict=True)])
            for runs in figures.values()
        ]
        for name in names
    }
    return {"rounds": ROUNDS, "points": points, "ratios to the first": ratios}


def _timed(place: Place, before: Path, ids: Sequence[str]) -> dict[str, float]:
    """One request, as a command with its peak memory, and as a call in this process."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        state = shutil.copytree(before, Path(folder, "command"))
        started = time.perf_counter()
        peak = place.command(state, ids)
        command = time.perf_counter() - started
        state = shutil.copytree(before, Path(folder, "call"))
        started = time.perf_counter()
        place.serve(state, ids)
        call = time.perf_counter() - started
    return {"command_seconds": command, "call_seconds": call, "command_mib": peak}


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
