"""What the statistics pass costs, against a plain forward and backward of the same batches.

The two are run in turn, pair by pair, in one process, so that a ratio holds on a machine whose speed drifts.
Usage: ``python benchmarks/statistics_pass.py MODEL DATA --examples 400 --pairs 5 [-o results/FILE.json]``
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from figures import report

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.collector import collect
from speu_cli.tasks.encoding import Encoded


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = _arguments()
    runtime = Runtime(batch_tokens=arguments.batch_tokens, device=arguments.device)
    session = open_session(arguments.model, DataChoice(max_length=arguments.max_length), runtime)
    examples = session.read(arguments.data)[: arguments.examples * arguments.join]
    encoded = session.encode(joined(examples, arguments.join))
    passes: dict[str, Callable[[Session, Encoded], None]] = {
        "plain": forward_and_backward,
        "statistics": statistics_pass,
    }
    rounds = range(arguments.pairs + 1)
    pairs = [{name: _timed(run, session, encoded) for name, run in passes.items()} for _ in rounds][1:]
    figures = {
        "model": session.checkpoint.identity.architecture,
        "device": arguments.device,
        "examples": len(encoded),
        "texts_in_an_example": arguments.join,
        "tokens": sum(encoded.lengths),
        "batch_tokens": arguments.batch_tokens,
        "seconds": {name: [pair[name] for pair in pairs] for name in passes},
        "ratio": _spread([pair["statistics"]["cpu"] / pair["plain"]["cpu"] for pair in pairs]),
        "ratio_wall": _spread([pair["statistics"]["wall"] / pair["plain"]["wall"] for pair in pairs]),
    }
    report(figures, arguments.output)


def joined(examples: Examples, texts: int) -> Examples:
    """As many texts in a row, to see what longer inputs cost."""
    rows = [examples[start : start + texts] for start in range(0, len(examples), texts)]
    longer = [replace(row[0], text=" ".join(example.text for example in row)) for row in rows]
    return Examples(longer, source=examples.source, columns=examples.columns)


def forward_and_backward(session: Session, encoded: Encoded) -> None:
    """One training step's work without the optimiser: gradients of the batch loss for all weights."""
    model, task = session.checkpoint.model, session.task
    model.requires_grad_(True)
    for indices in encoded.batches(session.runtime.batch_tokens):
        inputs, labels = encoded.collate(indices)
        model.zero_grad()
        logits = model(**{name: value.to(model.device) for name, value in inputs.items()}).logits
        task.losses(logits, labels.to(model.device)).sum().backward()
    model.zero_grad()
    model.requires_grad_(False)


def statistics_pass(session: Session, encoded: Encoded) -> None:
    """F, g, u and B of the examples."""
    model, runtime = session.checkpoint.model, session.runtime
    collect(model, session.layout, session.task, encoded, batch_tokens=runtime.batch_tokens)


def _timed(run: Callable[[Session, Encoded], None], session: Session, encoded: Encoded) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run(session, encoded)
    if session.runtime.device.startswith("cuda"):
        torch.cuda.synchronize()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data")
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--join", type=int, default=1, metavar="N", help="texts put together in one example")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batch-tokens", type=int, default=Runtime.batch_tokens)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
