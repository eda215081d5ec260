"""How long a deletion request takes once the statistics are there: the whole command, imports included.

With ``--retrain`` the pretrained model is trained without the rows as well, by ``speu train`` with its
defaults, once, and each recipe is told as a share of that.

Usage: ``python benchmarks/request.py MODEL --fisher FILE --data DATA --forget IDS --recipe default paper
--runs 5 [--retrain BASE] [-o FILE.json]``
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import report


def main() -> None:
    """Serve the request several times with each recipe in turn, and print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    for option in ("--fisher", "--data", "--forget"):
        parser.add_argument(option, required=True)
    parser.add_argument("--recipe", nargs="+", default=["default"], help="names or files, as of speu unlearn")
    parser.add_argument("--retrain", metavar="BASE", help="the model that MODEL was trained from")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    data, forget = ("--data", arguments.data), ("--forget", arguments.forget)
    inputs = (*data, *forget, "--fisher", arguments.fisher)
    runs: dict[str, list[dict[str, Any]]] = {recipe: [] for recipe in arguments.recipe}
    for _ in range(arguments.runs):
        for recipe, of_recipe in runs.items():
            of_recipe.append(serve(arguments.model, *inputs, "--recipe", recipe))
    figures: dict[str, Any] = {recipe: summed_up(of_recipe) for recipe, of_recipe in runs.items()}
    if arguments.retrain:
        without = (*data, "--exclude", arguments.forget)
        _, retraining = timed("train", arguments.retrain, *without)
        for of_recipe in figures.values():
            of_recipe["share_of_retraining"] = of_recipe["seconds"]["median"] / retraining
        figures["retraining_seconds"] = retraining
    report(figures, arguments.output)


def summed_up(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the requests of one recipe were, and how long each took."""
    seconds = [run.pop("process_seconds") for run in runs]
    return {
        **runs[0],
        "seconds": {"each": seconds, "median": statistics.median(seconds), "max": max(seconds)},
    }


def serve(model: str, *inputs: str) -> dict[str, Any]:
    """One request in a process of its own."""
    result, seconds = timed("unlearn", model, *inputs)
    kept = ("method", "recipe", "forget_examples", "remaining_examples", "rate_trials", "parameters_total")
    return {**{name: result[name] for name in kept}, "process_seconds": seconds}


def timed(*command: str) -> tuple[dict[str, Any], float]:
    """Run a command of speu in a process of its own, into a new folder; its result, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [sys.executable, "-m", "speu_cli", *command, "-o", f"{folder}/new", "--json"]
        started = time.perf_counter()
        answer = subprocess.run(asked, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    result: dict[str, Any] = json.loads(answer.stdout)
    return result, seconds


if __name__ == "__main__":
    main()
