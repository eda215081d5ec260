"""What the statistics pass costs, against a plain forward and backward and against other ways to the same F.

Every method gets the same batches, and gives F of the same parameters: those that heads and filters own. The
plain pass takes the gradients of all weights. speu gives g, u and B beside F, the others F alone.

Time: all methods in turn, round by round, in one process, so that a ratio to the plain pass of the same round
holds on a machine whose speed drifts. A method is timed on one batch, then on that batch and all others, and
the difference counts: what is done once a run, such as the allocation of totals and their conversion at the
end, is nothing beside a training set. The first run of each method, untimed, is its warm-up.

Memory: each method in a process of its own, on the two longest batches; the peak above what the process held
when the model was there and the method was set up.

F of the warm-up is compared with that of the loop over examples, tensor by tensor, relative to the largest
entry of the loop's. The command fails where they differ by more than 1e-4.

Usage: ``python benchmarks/statistics_pass.py [MODEL DATA --examples 400 --join 4] [-o results/FILE.json]``.
Without a model: layers of BERT-base with random weights, and random tokens in the shapes of ``--shapes``.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from comparison import compare, disagreements
from comparison_table import table_of
from figures import record
from peers import METHODS
from peers.plain import Plain
from rich.console import Console
from subjects import Choice, RandomEncoder, SavedEncoder

from speu_cli.stages.runtime import Runtime


def main() -> None:
    """Measure, print, write the figures, and fail where two methods disagree."""
    arguments = _arguments()
    names = [name for name in METHODS if name in {Plain.name, *arguments.methods}]
    compared = []
    for choice in _choices(arguments):
        compared.append(compare(choice, names, arguments.rounds))
        Console().print(table_of(compared[-1]))
    record(
        {"versions": _versions("transformers", "opacus", "kronfluence"), "compared": compared},
        arguments.output,
    )
    if wrong := [line for figures in compared for line in disagreements(figures)]:
        sys.exit("\n".join(wrong))


def _choices(arguments: argparse.Namespace) -> list[Choice]:
    if arguments.model:
        return [
            SavedEncoder(
                arguments.model,
                arguments.data,
                examples=arguments.examples,
                join=arguments.join,
                max_length=arguments.max_length,
                batch_tokens=arguments.batch_tokens,
                device=arguments.device,
            )
        ]
    return [
        RandomEncoder(examples, tokens, arguments.layers, 1 + arguments.batches, arguments.device)
        for examples, tokens in arguments.shapes
    ]


def _shape(text: str) -> tuple[int, int]:
    examples, tokens = map(int, text.split("x"))
    return examples, tokens


def _versions(*packages: str) -> dict[str, str | None]:
    def of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {package: of(package) for package in packages}


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, nargs="?", help="folder of a fine-tuned model")
    add("data", nargs="?", help="its data")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="beside plain (default: all)")
    add("--rounds", type=int, default=3)
    add("--device", default="cpu")
    add("-o", "--output", type=Path)
    random = parser.add_argument_group("without a model")
    add = random.add_argument
    add("--shapes", nargs="+", type=_shape, default=[(16, 64), (32, 24)], metavar="EXAMPLESxTOKENS")
    add("--layers", type=int, default=4)
    add("--batches", type=int, default=4, help="that count, beside the one whose time is taken off")
    saved = parser.add_argument_group("with a model")
    add = saved.add_argument
    add("--examples", type=int, default=400)
    add("--join", type=int, default=1, metavar="N", help="texts put together in one example")
    add("--batch-tokens", type=int, default=Runtime.batch_tokens)
    add("--max-length", type=int)
    arguments = parser.parse_args(argv)
    if arguments.model and not arguments.data:
        parser.error("a model needs its data")
    return arguments


if __name__ == "__main__":
    main()
