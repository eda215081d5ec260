"""Two processes with a core each against one process with one core: the whole command, in pairs.

Each run is ``speu fisher``, with one thread a process; of the second kind under ``torchrun``.
What counts is the pass itself, as the command reports it. The statistics of both must agree.

Usage: ``python benchmarks/processes.py MODEL --data DATA --pairs 3 [-o results/FILE.json]``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agreement import TOLERANCE, largest_difference, noise_of
from clock import spread
from figures import report
from safetensors import safe_open
from subjects import Fisher


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: arguments.processes]
    if len(cores) < arguments.processes:
        sys.exit(f"{len(cores)} cores for {arguments.processes} processes, expected one each")
    pairs = [pair(arguments.model, arguments.data, cores) for _ in range(arguments.pairs)]
    speedups = [one["seconds"] / many["seconds"] for one, many in pairs]
    report({"processes": arguments.processes, "runs": pairs, "speedup": spread(speedups)}, arguments.output)


def pair(model: str, data: str, cores: Sequence[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run of each kind; fails where their statistics differ."""
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder, "one.safetensors"), Path(folder, "many.safetensors")
        run = ["-m", "speu_cli", "fisher", model, "--data", data, "--json", "-o"]
        spread_out = ["-m", "torch.distributed.run", "--nproc-per-node", str(len(cores)), *run, str(many)]
        results = timed_pass([*run, str(one)], cores[:1]), timed_pass(spread_out, cores)
        expected, found = fisher_of(one), fisher_of(many)
    if not (difference := largest_difference(expected, found, noise_of(expected))) <= TOLERANCE:
        sys.exit(
            f"F is off by {difference:.1e} of a tensor's largest entry, expected at most {TOLERANCE:.0e}"
        )
    return results


def fisher_of(statistics: Path) -> Fisher:
    """F by parameter, of a statistics file."""
    with safe_open(statistics, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith("fisher/")}


def timed_pass(arguments: Sequence[str], cores: Sequence[int]) -> dict[str, Any]:
    """The command on these cores, one thread a process; what it reports of its pass."""
    answer = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    result = json.loads(answer.stdout)
    return {name: result[name] for name in ("examples", "seconds", "tokens_per_second")}


if __name__ == "__main__":
    main()
