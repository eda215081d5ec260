"""TOFU's measures from published logs: do speu's functions give the numbers that were published?

Reads the per-example logs of Llama-2-7b that TOFU published, of the model that learnt all authors (``full``)
and of the one trained without a tenth of them (``retain90``); computes every measure from the logged losses
with the functions of ``speu eval --perturbed``, and every ROUGE value from the logged texts. Ends with an
error if a measure is not that of a plain loop or a logged value within 1e-9, if it is not the one that was
published in all digits, or if a ROUGE value is not exactly the logged one.

Usage: ``python tofu_logs.py FOLDER [-o results.json]``, where FOLDER holds ``full.json.gz`` and
``retain90.json.gz``.
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from speu_cli.evaluation.tofu.measure import Perturbed, measure_tofu
from speu_cli.evaluation.tofu.probability import probability_among
from speu_cli.tasks.generation import recalls

Json = dict[str, Any]

MODELS = ("full", "retain90")
LOGS = {
    "forget": "eval_log_forget",
    "retain": "eval_log",
    "authors": "eval_real_author_wo_options",
    "facts": "eval_real_world_wo_options",
}
CLOSE = 1e-9
# As TOFU's own scripts sum the logs up; six digits are printed of most.
EXPECTED = {
    "full": {
        "tofu.model_utility": 0.622677,
        "tofu.forget.probability": 0.990939,
        "tofu.forget.rouge_l": 0.985450,
        "tofu.forget.truth_ratio": 0.515985,
    },
    "retain90": {
        "tofu.model_utility": 0.613745,
        "tofu.forget.probability": 0.147563,
        "tofu.forget.rouge_l": 0.408244,
        "tofu.forget.truth_ratio": 0.674019,
    },
}
PRINTED = 6
QUALITY, DISTANCE = 1.834066410994743e-21, 119 / 300


def read(path: Path) -> dict[str, Json]:
    """The log of each set, as ``measure -> values`` in the order of the questions."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        logs = json.load(file)
    return {
        name: {measure: list(values.values()) for measure, values in logs[log].items()}
        for name, log in LOGS.items()
    }


def perturbed(log: Json) -> Perturbed:
    """The losses and recalls of a set, as ``speu eval`` has them."""
    return Perturbed(
        losses=np.array(log["avg_gt_loss"]),
        right=np.array(log["avg_paraphrased_loss"]),
        wrong=[np.array(losses) for losses in log["average_perturb_loss"]],
        recalls=np.array(log["rougeL_recall"]),
    )


def by_loop(logs: dict[str, Json]) -> Json:
    """The measures once more, one example at a time, as the definitions are written."""
    found: Json = {}
    for name, log in logs.items():
        values: list[tuple[float, float]] = []
        rows = zip(log["avg_gt_loss"], log["avg_paraphrased_loss"], log["average_perturb_loss"], strict=True)
        for own, right, wrong in rows:
            likely = math.exp(-own)
            ratio = math.exp(right - sum(wrong) / len(wrong))
            if name in {"authors", "facts"}:
                likely /= likely + sum(math.exp(-loss) for loss in wrong)
            values.append((likely, min(ratio, 1 / ratio) if name == "forget" else max(0, 1 - ratio)))
        found[f"tofu.{name}.probability"] = sum(one for one, _ in values) / len(values)
        found[f"tofu.{name}.truth_ratio"] = sum(one for _, one in values) / len(values)
        found[f"tofu.{name}.rouge_l"] = sum(log["rougeL_recall"]) / len(values)
    nine = [value for name, value in found.items() if ".forget." not in name]
    found["tofu.model_utility"] = len(nine) / sum(1 / value for value in nine)
    return found


def problems(model: str, measured: dict[str, float], logs: dict[str, Json]) -> Iterator[str]:
    """What is not as expected."""
    for name, value in by_loop(logs).items():
        if not abs(measured[name] - value) <= CLOSE:
            yield f"{model}, {name}: {measured[name]!r}, by a loop {value!r}"
    for name, value in EXPECTED[model].items():
        if round(measured[name], PRINTED) != value:
            yield f"{model}, {name}: {measured[name]!r}, expected {value!r}"
    if model == "full":
        expected = {"tofu.forget_quality": QUALITY, "tofu.forget_distance": DISTANCE}
        for name, value in expected.items():
            if not math.isclose(measured[name], value, rel_tol=CLOSE):
                yield f"{name}: {measured[name]!r}, expected {value!r}"


def differing_recalls(logs: dict[str, Json]) -> tuple[int, int]:
    """How many recalls are logged, ROUGE-1 and ROUGE-L, and how many are not exactly those of the texts."""
    count = differing = 0
    ones = RougeScorer(["rouge1"], use_stemmer=True)
    for log in logs.values():
        _, answers, right = zip(*log["generated_text"], strict=True)
        pairs = zip(right, answers, strict=True)
        found = [ones.score(text, answer)["rouge1"].recall for text, answer in pairs]
        found += recalls(answers, right).tolist()
        logged = log["rouge1_recall"] + log["rougeL_recall"]
        count += len(found)
        differing += sum(a != b for a, b in zip(found, logged, strict=True))
    return count, differing


def largest_difference(found: dict[str, Perturbed], logs: dict[str, Json]) -> float:
    """Between the probabilities among offered answers and those that are logged, as −log p in float64."""
    differences = [
        np.abs(-np.log(probability_among(found[name].losses, found[name].wrong)) - log["normalized_gt_loss"])
        for name, log in logs.items()
        if "normalized_gt_loss" in log
    ]
    return float(np.concatenate(differences).max())


def main() -> int:
    """Compute all, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    logs = {model: read(arguments.folder / f"{model}.json.gz") for model in MODELS}
    found = {model: {name: perturbed(log) for name, log in logs[model].items()} for model in MODELS}
    figures: Json = {"date": date.today().isoformat(), "models": {}, "problems": []}
    for model in MODELS:
        metrics = measure_tofu(found[model], found["retain90"])
        measured = {name: metric.value for name, metric in metrics.items()}
        count, differing = differing_recalls(logs[model])
        figures["models"][model] = {**measured, "recalls": count, "recalls that differ": differing}
        if not largest_difference(found[model], logs[model]) <= CLOSE:
            figures["problems"].append(f"{model}: logged probabilities among answers differ")
        figures["problems"] += problems(model, measured, logs[model])
        figures["problems"] += [f"{model}: {differing} of {count} recalls differ"] if differing else []
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return 1 if figures["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
