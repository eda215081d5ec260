"""The diagonal, coherent directions and Kronecker factors as the curvature of one step, at equal forgetting.

Each step moves the same units, those of a mask, at the rate at which the forget loss meets the target. The
Kronecker factors are made of a sample of the remaining examples, as is a second diagonal, for comparison.
Prints JSON.

Usage: ``python kronecker_step.py MODEL --fisher FILE --data DATA --forget IDS --test DATA [-o results.json]``
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from commands import Json
from kronecker.comparison import bytes_to_keep, find_curvatures, take_step, ways
from kronecker.measured import Measured
from kronecker.opened import Opened, Sources, open_sources

from speu_cli.cli.progress import progress_on
from speu_cli.errors import SpeuError
from speu_cli.stages.runtime import BATCH_TOKENS, Runtime
from speu_cli.unlearning.settings import StepSettings


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--fisher", type=Path, required=True, help="statistics of its training set")
    parser.add_argument("--data", required=True, help="the training set")
    parser.add_argument("--forget", required=True, help="id list of the forget set")
    parser.add_argument("--test", required=True, help="the test set")
    parser.add_argument("--mask", type=Path, help="mask file; by default it is made of the request")
    parser.add_argument("--sparsity", type=float, default=0.9, help="of a mask made here; 0: every unit")
    parser.add_argument("--holdout", help="unseen examples, whose mean loss is the target")
    parser.add_argument("--target-loss", type=float, help="by default that of the held-out set")
    parser.add_argument("--examples", type=int, default=1024, help="of the sample of the remaining set")
    parser.add_argument("--damping", type=float, nargs="+", default=[0.1], help="each is tried")
    parser.add_argument("--hold-directions", type=float, default=math.inf, help="how fast; inf: altogether")
    parser.add_argument("--max-overshoot", type=float, default=2.0, help="as of speu unlearn")
    parser.add_argument("--max-remaining", type=int, default=1000, help="remaining examples to measure on")
    parser.add_argument("--reference", type=Path, help="a model retrained without the forget set")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS)
    parser.add_argument("-o", "--output", type=Path, help="write the JSON here too")
    return parser.parse_args(arguments)


def compare(asked: argparse.Namespace) -> Json:
    """Take every step and measure it.

    Args:
        asked: The options.

    Returns:
        What is printed: of each curvature at each damping, a row.
    """
    runtime = Runtime(asked.device, asked.batch_tokens, progress=progress_on(sys.stderr))
    sources = Sources(
        asked.model,
        asked.fisher,
        asked.data,
        asked.forget,
        asked.test,
        mask=asked.mask,
        holdout=asked.holdout,
        reference=asked.reference,
    )
    opened = open_sources(sources, asked.sparsity, asked.target_loss, runtime)
    steps = [
        StepSettings(damping, None, opened.target, asked.max_overshoot, "all") for damping in asked.damping
    ]
    measured = Measured(sources, opened, asked.max_remaining, asked.seed)
    original = measured.folder(asked.model)
    # Another draw than the examples that R is measured on.
    sample = opened.sample(asked.examples, asked.seed + 1)
    curvatures = find_curvatures(opened, sample)
    rows: list[Json] = []
    for settings in steps:
        for name, make in ways(opened, curvatures, settings.damping, asked.hold_directions):
            taken = take_step(opened, measured, make, settings)
            rows.append({"curvature": name, "damping": settings.damping, **taken})
            runtime.progress.note(f"{name}, damping {settings.damping:g}: {told(rows[-1])}")
    return {
        **described(opened),
        "sample": len(sample.encoded),
        "with_factors": len(curvatures.kronecker),
        "curvature_seconds": curvatures.seconds,
        "bytes": bytes_to_keep(opened),
        "original": original,
        "reference": measured.reference,
        "rows": rows,
    }


def described(opened: Opened) -> Json:
    """What was compared on."""
    return {
        "date": date.today().isoformat(),
        "forget_examples": len(opened.forget.encoded),
        "remaining_examples": opened.request.remaining.count,
        "statistics_of": opened.file.statistics.count,
        "target_loss": opened.target,
        "selected": opened.mask.counts(),
        "parameters_in_mask": len(list(opened.mask.slices())),
    }


def told(row: Json) -> str:
    """A row in a few words."""
    if "refused" in row:
        return str(row["refused"])
    shown = {name: row[name] for name in row if name.startswith(("loss.forget", "remaining_", "testing_"))}
    shown |= {name: row[name] for name in ("gap.average",) if name in row}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items() if value is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and write."""
    asked = parse(arguments)
    try:
        text = json.dumps(compare(asked), indent=1, allow_nan=False)
    except SpeuError as error:
        print(f"{error}; {error.hint}" if error.hint else str(error), file=sys.stderr)
        return error.exit_code
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
