"""TOFU with a small Llama: seven ways to forget by training, four of them in three kinds of masks, and steps.

The paper's Tables 10 to 12: a model that knows the answers about 200 made-up authors is to forget those about
1, 5 or 10 in 100 of them. RT is trained anew without them, for each of the three. Epochs and decay as in the
paper's appendix B; the learning rates are for a small model that was trained from nothing. It knows no
real authors and no facts about the world, so their columns are left out, and model utility with them. A
recipe whose model is refused has no numbers. Runs the public commands; what is done already is skipped. See
``README.md`` beside this file.

Usage: ``python tofu.py DATA_FOLDER WORK_FOLDER [--splits forget01 …] [-o results.json]``, where DATA_FOLDER
holds TOFU's files as ``NAME.jsonl.gz``.
"""

import argparse
import gzip
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tofu_model
from commands import REFUSED, Commands, Json

SPLITS = ("forget01", "forget05", "forget10")
OBJECTIVES = ("mlf", "mlr", "norm")
MASKED = ("ga", "gd", "dpo", "npo")
TRAINING = ("--epochs", "20", "--batch-size", "8", "--learning-rate", "1e-3", "--weight-decay", "0.01")
RATE, MASKED_RATE = "1e-4", "1e-3"
TOKENS, REMAINING = 64, 20
BATCHES = ("--batch-tokens", "8192")  # of so small a model
RETAIN, OTHERS, UNSEEN = "retain_perturbed", "world_facts_perturbed", "real_authors"
STATISTICS = "statistics"
LANGUAGE = str(Path(__file__).with_name("language.toml"))
MOST_QUESTIONS = {RETAIN: 100, OTHERS: 20}
MEASURES = {"ROUGE": "rouge_l", "probability": "probability", "truth ratio": "truth_ratio"}
METRICS = {
    **{f"forget {short}": f"tofu.forget.{name}" for short, name in MEASURES.items()},
    "forget quality": "tofu.forget_quality",
    **{f"remaining {short}": f"tofu.retain.{name}" for short, name in MEASURES.items()},
    "forget loss": "loss.forget",
}


@dataclass(frozen=True)
class Tofu(Commands):
    """Where things are."""

    source: Path

    def prepare(self) -> None:
        """Unpack the data, and write the id list of each split."""
        self.work.mkdir(parents=True, exist_ok=True)
        for name in ("full", *SPLITS):
            rows = self._answers(name)
            self._write(name, rows)
            (self.work / f"{name}.txt").write_text("\n".join(row["id"] for row in rows) + "\n")
        for name in (RETAIN, OTHERS, *(f"{split}_perturbed" for split in SPLITS)):
            self._write(name, self._rows(name)[: MOST_QUESTIONS.get(name)])
        self._write(UNSEEN, self._answers(f"{UNSEEN}_perturbed"))
        if not (self.work / "base").is_dir():
            tofu_model.main(self.work / "full.jsonl", self.work / "base")

    def _rows(self, name: str) -> list[Json]:
        with gzip.open(self.source / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def _answers(self, name: str) -> list[Json]:
        return [{key: row[key] for key in ("id", "question", "answer")} for row in self._rows(name)]

    def _write(self, name: str, rows: list[Json]) -> None:
        path = self.work / f"{name}.jsonl"
        if not path.exists():  # another process of the study may be reading it
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def file(self, name: str) -> str:
        """A file of the study."""
        return str(self.work / name)

    @property
    def data(self) -> tuple[str, str]:
        """The training set, as an option."""
        return ("--data", self.file("full.jsonl"))

    def train(self, name: str, *options: str) -> None:
        """Train the small model until it knows its answers."""
        asked = (self.file("base"), *self.data, "--task", "causal-lm", *TRAINING, *options)
        self.speu("train", *asked, "-o", self.file(name), keep=name)

    def statistics(self) -> None:
        """Those of the model that knows all; real authors are what it has never seen."""
        unseen = ("--holdout", self.file(f"{UNSEEN}.jsonl"))
        output = ("-o", self.file(f"{STATISTICS}.safetensors"))
        self.speu("fisher", self.file("original"), *self.data, *unseen, *output, keep=STATISTICS)

    def mask(self, split: str, objective: str) -> str:
        """Choose a tenth of the units for a request."""
        name = f"mask-{objective}-{split}"
        target = self.file(f"{name}.safetensors")
        asked = (
            *self.data,
            "--fisher",
            self.file(f"{STATISTICS}.safetensors"),
            "--forget",
            self.file(f"{split}.txt"),
        )
        chosen = ("--objective", objective, "--sparsity", "0.9", "-o", target)
        self.speu("mask", self.file("original"), *asked, *chosen, keep=name)
        return target

    def unlearn(self, split: str, name: str, *options: str) -> Json:
        """Serve a request in one way."""
        asked = (*self.data, "--forget", self.file(f"{split}.txt"), *options)
        target = f"{name.lower()}-{split}"
        return self.speu("unlearn", self.file("original"), *asked, "-o", self.file(target), keep=target)

    def evaluate(self, split: str, name: str) -> Json:
        """Measure a model beside the retrained one; D_r by a sample, answers of at most 64 tokens."""
        test = ("--test", self.file(f"{OTHERS}.jsonl"), "--max-remaining", str(REMAINING))
        against = ("--reference", self.file(f"rt-{split}"), "--generate", str(TOKENS))
        sources = {"forget": f"{split}_perturbed", "retain": RETAIN}
        questions = [f"--perturbed={of}={self.file(f'{name}.jsonl')}" for of, name in sources.items()]
        asked = (*self.data, "--forget", self.file(f"{split}.txt"), *test, *against, *questions, *BATCHES)
        answer = self.speu("eval", self.file(name), *asked, keep=f"eval-{name}-{split}")
        result: Json = answer["result"]
        return result


def ways(tofu: Tofu, split: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every method by name, with its options."""
    for method in ("ft", "sa", *MASKED):
        yield method.upper(), ("--method", method, "--learning-rate", RATE)
    for method in MASKED:
        for objective in OBJECTIVES:
            chosen = ("--mask", tofu.mask(split, objective), "--learning-rate", MASKED_RATE)
            yield f"{objective.upper()}-{method.upper()}", ("--method", method, *chosen)
    statistics = ("--fisher", tofu.file(f"{STATISTICS}.safetensors"))
    step = (*statistics, "--recipe", "paper")
    probe = tofu.evaluate(split, f"rt-{split}")["model"]["loss.forget"]["value"]
    target = ("--target-loss", str(probe))  # of an unseen author; no others were held out
    some = ("--method", "spe-so", "--sparsity", "0.9")
    yield "SO", (*step, *target, "--method", "so")
    yield "SPE-SO", (*step, *target, *some)
    yield "SO-DEFAULT", (*statistics, "--recipe", "default", "--method", "so")
    yield "SPE-SO-DEFAULT", (*statistics, "--recipe", "default", *some)
    yield "SPE-SO-LANGUAGE", (*statistics, "--recipe", LANGUAGE, *some)


def rows_of(tofu: Tofu, split: str) -> list[Json]:
    """The original, the retrained model and every method on one split."""
    original = tofu.evaluate(split, "original")
    rows: list[Json] = [
        {"method": "original", **_metrics(original["model"])},
        {"method": "RT", **_metrics(original["reference"])},
    ]
    for name, options in ways(tofu, split):
        answer = tofu.unlearn(split, name, *options)
        if REFUSED in answer:
            rows.append({"method": name, **dict.fromkeys(METRICS), "seconds": answer["process_seconds"]})
            continue
        measured = tofu.evaluate(split, f"{name.lower()}-{split}")
        rows.append(
            {
                "method": name,
                **_metrics(measured["model"]),
                "gap": measured["gaps"]["gap.average"],
                "seconds": answer["process_seconds"],
            }
        )
    return rows


def _metrics(measured: Json) -> Json:
    return {short: measured[name]["value"] for short, name in METRICS.items()}


def markdown(rows: list[Json]) -> str:
    """The paper's table, one line a model."""
    lines = [f"| method | {' | '.join(METRICS)} | time, s |", "|---" * (len(METRICS) + 2) + "|"]
    for row in rows:
        cells = [row["method"], *("–" if row[name] is None else f"{row[name]:.3g}" for name in METRICS)]
        lines.append(f"| {' | '.join(cells)} | {row.get('seconds', float('nan')):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is not done yet, and print and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    tofu = Tofu(arguments.work, arguments.data)
    tofu.prepare()
    tofu.train("original")
    tofu.statistics()
    figures: Json = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "splits": {},
    }
    for split in arguments.splits:
        tofu.train(f"rt-{split}", "--exclude", tofu.file(f"{split}.txt"))
        figures["splits"][split] = rows_of(tofu, split)
        print(f"{split}\n\n{markdown(figures['splits'][split])}\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
