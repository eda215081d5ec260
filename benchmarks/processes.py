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

from clock import spread
from figures import report
from safetensors.torch import load_file

TOLERANCE = 1e-5  # relative to a tensor's largest entry


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
        expected, found = load_file(one), load_file(many)
    for name, tensor in expected.items():
        scale = tensor.abs().max()
        if name.startswith("fisher/") and not (found[name] - tensor).abs().max() <= TOLERANCE * scale:
            sys.exit(f"{name} differs by more than {TOLERANCE:.0e} of its largest entry")
    return results


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
