"""SST-2 with a 22 M parameter encoder: retraining against SO and SPE-SO on three forget draws.

Runs the public commands, one process each, as a user would. Every step whose output is there already is
skipped, so the study can be stopped and gone on with. See ``README.md`` beside this file.

Usage: ``python sst2.py SST2_FOLDER WORK_FOLDER --encoder FOLDER [-o results.json]``
"""

import argparse
import json
import platform
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean

import sst2_sets
from commands import Commands, Json


@dataclass(frozen=True)
class Variant:
    """One way to serve the requests."""

    name: str
    options: tuple[str, ...]


FORGET_EXAMPLES = ("all", "remembered")
METRICS = {
    "UA": "unlearning_accuracy",
    "RA": "remaining_accuracy",
    "TA": "testing_accuracy",
    "MIA": "membership.member_fraction",
    "AUC": "membership.auc",
    "loss": "loss.forget",
}
METHODS = (
    Variant("SO", ("--method", "so")),
    Variant("SPE-SO 0.5", ("--sparsity", "0.5")),
    Variant("SPE-SO 0.9", ("--sparsity", "0.9")),
    Variant("SPE-SO 0.97", ("--sparsity", "0.97")),
)


@dataclass(frozen=True)
class Study(Commands):
    """Where things are."""

    encoder: Path

    def train(self, name: str, exclude: Path | None = None) -> Path:
        """Fine-tune, five epochs at 5e-5; without the rows of a list for their reference."""
        if (self.work / name).is_dir():
            return self.work / name
        without = ("--exclude", str(exclude)) if exclude else ()
        arguments = (str(self.encoder), "--data", self.data, "--max-length", "128", *without)
        self.speu("train", *arguments, "-o", str(self.work / name), keep=name)
        return self.work / name

    @property
    def data(self) -> str:
        """The training set."""
        return str(self.work / "train.jsonl")

    def forget(self, draw: str) -> Path:
        """The id list of a draw."""
        return self.work / f"forget-{draw}.txt"

    def statistics(self) -> Json:
        """The statistics of the original model."""
        target = self.work / "fisher.safetensors"
        holdout = str(self.work / "heldout.jsonl")
        arguments = (str(self.work / "original"), "--data", self.data, "--holdout", holdout)
        return self.speu("fisher", *arguments, "-o", str(target), keep="fisher")

    def unlearn(self, draw: str, variant: Variant, forget_examples: str) -> tuple[Path, Json]:
        """Serve a request."""
        name = f"{re.sub('[^a-z0-9.]+', '-', variant.name.lower())}-{forget_examples}-{draw}"
        target = self.work / name
        answer = self.speu(
            "unlearn",
            str(self.work / "original"),
            *("--fisher", str(self.work / "fisher.safetensors"), "--data", self.data),
            *("--forget", str(self.forget(draw)), "--forget-examples", forget_examples),
            *(*variant.options, "-o", str(target)),
            keep=name,
        )
        return target, answer

    def evaluate(self, model: Path, draw: str) -> Json:
        """Measure a model beside the one retrained without the draw; D_r by a sample of 2,000."""
        answer = self.speu(
            "eval",
            str(model),
            *(
                "--data",
                self.data,
                "--forget",
                str(self.forget(draw)),
                "--test",
                str(self.work / "test.jsonl"),
            ),
            *("--reference", str(self.work / f"retrained-{draw}"), "--max-remaining", "2000"),
            keep=f"eval-{model.name}-{draw}",
        )
        result: Json = answer["result"]
        return result


def main() -> None:
    """Run what is not done yet, and print and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sst2", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--draws", nargs="+", choices=sst2_sets.DRAWS, default=list(sst2_sets.DRAWS))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    sst2_sets.main(arguments.sst2, arguments.work)
    study = Study(arguments.work, arguments.encoder)
    study.train("original")
    statistics = study.statistics()
    rows = []
    for draw in arguments.draws:
        study.train(f"retrained-{draw}", study.forget(draw))
        rows += rows_of_draw(study, draw)
    figures = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "statistics": {
            "process_seconds": statistics["process_seconds"],
            **{name: statistics["result"][name] for name in ("bytes", "tokens", "mean_loss", "unseen_loss")},
        },
        "rows": rows,
    }
    print(markdown(rows + averages(rows)))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


def rows_of_draw(study: Study, draw: str) -> list[Json]:
    """The original, the retrained model, and every variant on one draw."""
    original = study.evaluate(study.work / "original", draw)
    rows: list[Json] = [
        {"method": "original", **_metrics(original["model"]), "gap": original["gaps"]["gap.average"]},
        {"method": "RT", **_metrics(original["reference"]), "gap": 0.0},
    ]
    # Nobody knows what RT would do without retraining: this shows what the target costs.
    unseen = str(rows[1]["loss"])
    knowing = Variant("SPE-SO 0.9 at RT's loss", ("--sparsity", "0.9", "--target-loss", unseen))
    variants = [(variant, examples) for examples in FORGET_EXAMPLES for variant in METHODS]
    for variant, forget_examples in [*variants, (knowing, "all")]:
        model, answer = study.unlearn(draw, variant, forget_examples)
        measured = study.evaluate(model, draw)
        rows.append(
            {
                "method": variant.name,
                "forget_examples": forget_examples,
                **_metrics(measured["model"]),
                "gap": measured["gaps"]["gap.average"],
                "rate": answer["result"]["rate"],
                "in_step": answer["result"]["examples_in_step"],
            }
        )
    return [{"draw": draw, **row} for row in rows]


def averages(rows: list[Json]) -> list[Json]:
    """The mean of every figure over the draws, for each method."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for row in rows:
        groups.setdefault((row["method"], row.get("forget_examples", "")), []).append(row)
    return [
        {
            "draw": "mean",
            "method": method,
            "forget_examples": forget_examples,
            **{name: mean(row[name] for row in group) for name in (*METRICS, "gap")},
        }
        for (method, forget_examples), group in groups.items()
    ]


def _metrics(measured: Json) -> Json:
    return {short: measured[name]["value"] for short, name in METRICS.items()}


def markdown(rows: list[Json]) -> str:
    """The paper's Table 2, one line a model; fractions and AUC in percent, gap in points."""
    lines = [
        "| draw | method | in the step | UA | RA | TA | MIA | AUC | forget loss | average gap |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["draw"], row["method"], row.get("forget_examples", "")]
        cells += [f"{100 * row[name]:.2f}" for name in ("UA", "RA", "TA", "MIA", "AUC")]
        cells.append(f"{row['loss']:.3f}")
        lines.append(f"| {' | '.join([*cells, format(row['gap'], '.2f')])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
