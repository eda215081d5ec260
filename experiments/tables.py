"""QQP, STS-B and SQuAD with a 22 M parameter encoder: six ways to forget, the paper's Tables 4, 6, 7 and 8.

Retraining (RT), fine-tuning (FT), gradient difference (GD), sparsity-aware fine-tuning (SA), and the
second-order step on all units (SO) and on a tenth of them (SPE-SO). Learning rate and epochs as in the
paper's appendix A.1: 5e-5, five epochs for RT and three for FT, GD and SA. Runs the public commands; what is
done already is skipped. See ``README.md`` beside this file.

Usage: ``python tables.py DATA_FOLDER WORK_FOLDER --encoder FOLDER --sets qqp stsb [-o results.json]``, where
DATA_FOLDER holds a folder a set with ``train.jsonl.gz`` and ``dev.jsonl.gz``.
"""

import argparse
import json
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from commands import Commands, Json
from table_sets import FORGET, SETS, TableSet, prepare

TRAINED = ("--learning-rate", "5e-5", "--weight-decay", "0", "--epochs", "3")
METHODS = {
    "FT": ("--method", "ft", *TRAINED),
    "GD": ("--method", "gd", "--epoch-over", "all", *TRAINED),
    "SA": ("--method", "sa", *TRAINED),
    "SO": ("--method", "so"),
    "SPE-SO": ("--method", "spe-so", "--sparsity", "0.9"),
}
SECOND_ORDER = ("SO", "SPE-SO")
PARTS = ("unlearning", "remaining", "testing")


@dataclass(frozen=True)
class Table(Commands):
    """One data set and where its files are."""

    encoder: Path
    cut: TableSet

    @property
    def data(self) -> tuple[str, str]:
        """The training set, as an option."""
        return ("--data", str(self.work / "train.jsonl"))

    @property
    def forget(self) -> str:
        """The id list."""
        return str(self.work / "forget.txt")

    def train(self, name: str, *options: str) -> Json:
        """Fine-tune the encoder, five epochs at 5e-5."""
        length = ("--max-length", str(self.cut.max_length), "--epochs", str(self.cut.epochs))
        output = ("-o", str(self.work / name))
        return self.speu(
            "train", str(self.encoder), *self.data, *self.cut.task, *length, *options, *output, keep=name
        )

    def statistics(self) -> Json:
        """Those of the original model."""
        holdout = ("--holdout", str(self.work / "heldout.jsonl"))
        output = ("-o", str(self.work / "fisher.safetensors"))
        return self.speu("fisher", str(self.work / "original"), *self.data, *holdout, *output, keep="fisher")

    def unlearn(self, method: str) -> Json:
        """Serve the request in one way."""
        fisher = ("--fisher", str(self.work / "fisher.safetensors")) if method in SECOND_ORDER else ()
        asked = (*self.data, "--forget", self.forget, *fisher, *METHODS[method])
        output = ("-o", str(self.work / method.lower()))
        return self.speu("unlearn", str(self.work / "original"), *asked, *output, keep=method.lower())

    def evaluate(self, name: str) -> Json:
        """Measure a model beside the retrained one; D_r by a sample."""
        test = ("--test", str(self.work / "test.jsonl"), "--max-remaining", str(self.cut.remaining))
        against = ("--reference", str(self.work / "retrained"))
        asked = (*self.data, "--forget", self.forget, *test, *against)
        answer = self.speu("eval", str(self.work / name), *asked, keep=f"eval-{name}")
        result: Json = answer["result"]
        return result


def main() -> None:
    """Run what is not done yet, and print and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    figures: Json = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "tables": {},
    }
    for name in arguments.sets:
        prepare(arguments.data / name, SETS[name], arguments.work / name)
        rows = rows_of(Table(arguments.work / name, arguments.encoder, SETS[name]))
        figures["tables"][name] = rows
        print(f"{SETS[name].table}: {name}, {SETS[name].training} rows, {FORGET} to forget\n")
        print(f"{markdown(rows)}\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


def rows_of(table: Table) -> list[Json]:
    """The original, the retrained model, and every method."""
    table.train("original")
    retrained = table.train("retrained", "--exclude", table.forget)
    table.statistics()
    original = table.evaluate("original")
    rows: list[Json] = [
        {"method": "original", **_metrics(table, original["model"]), "gap": original["gaps"]["gap.average"]},
        {
            "method": "RT",
            **_metrics(table, original["reference"]),
            "gap": 0.0,
            "seconds": retrained["process_seconds"],
        },
    ]
    for method in METHODS:
        answer = table.unlearn(method)
        measured = table.evaluate(method.lower())
        rows.append(
            {
                "method": method,
                **_metrics(table, measured["model"]),
                "gap": measured["gaps"]["gap.average"],
                "seconds": answer["process_seconds"],
            }
        )
    return rows


def _metrics(table: Table, measured: Json) -> Json:
    names = {
        **{f"{one[0].upper()}{table.cut.short}": f"{one}_{table.cut.score}" for one in PARTS},
        "MIA": "membership.member_fraction",
        "AUC": "membership.auc",
        "loss": "loss.forget",
    }
    return {short: measured[name]["value"] for short, name in names.items()}


def markdown(rows: list[Json]) -> str:
    """The paper's table, one line a model; scores, MIA and AUC in percent, gap in points."""
    names = [name for name in rows[0] if name not in {"method", "gap", "loss"}]
    lines = [
        f"| method | {' | '.join(names)} | forget loss | average gap | time, s |",
        "|---" * (len(names) + 4) + "|",
    ]
    for row in rows:
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else ""
        cells = [row["method"], *(f"{100 * row[name]:.2f}" for name in names)]
        lines.append(
            f"| {' | '.join([*cells, format(row['loss'], '.3f'), format(row['gap'], '.2f'), seconds])} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
