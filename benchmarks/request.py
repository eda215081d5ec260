"""How long a deletion request takes once the statistics are there: the whole command, imports included.

The step is the paper's, whose rate is searched.

Usage: ``python benchmarks/request.py MODEL --fisher FILE --data DATA --forget IDS --runs 5 [-o FILE.json]``
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
    """Serve the request several times, each into a new folder, and print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    for option in ("--fisher", "--data", "--forget"):
        parser.add_argument(option, required=True)
    parser.add_argument("--recipe", default="default", help="name or file, as of speu unlearn")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    files = ("--fisher", arguments.fisher, "--data", arguments.data, "--forget", arguments.forget)
    inputs = (*files, "--recipe", arguments.recipe)
    runs = [serve(arguments.model, *inputs) for _ in range(arguments.runs)]
    seconds = [run.pop("process_seconds") for run in runs]
    figures = {
        **runs[0],
        "seconds": {"each": seconds, "median": statistics.median(seconds), "max": max(seconds)},
    }
    report(figures, arguments.output)


def serve(model: str, *inputs: str) -> dict[str, Any]:
    """One request in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        speu = [sys.executable, "-m", "speu_cli"]
        command = [*speu, "unlearn", model, *inputs, "-o", f"{folder}/new", "--json"]
        started = time.perf_counter()
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    result = json.loads(answer.stdout)
    kept = ("method", "recipe", "forget_examples", "remaining_examples", "rate_trials", "parameters_total")
    return {**{name: result[name] for name in kept}, "process_seconds": seconds}


if __name__ == "__main__":
    main()
