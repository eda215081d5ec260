"""SST-2, requests one after the other: memory-free and memory-aided, SO and SPE-SO, against retraining.

Ten requests of 32 rows each; after 1, 4, 8 and 10 of them the accuracy on the remaining and on the test
rows, beside models retrained without the rows of 8 and of all 10 (the paper's Table 1 and Figure 4). Runs the
public commands; what is done already is skipped. See ``README.md`` beside this file.

Usage: ``python successive.py SST2_FOLDER WORK_FOLDER --encoder FOLDER [-o results.json] [--picture FILE]``
"""

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sst2_sets
from commands import Json
from matplotlib.figure import Figure
from sst2 import Study

REQUESTS, SIZE = 10, 32
MEASURED = (1, 4, 8, 10)
REFERENCES = (8, 10)
METRICS = {"UA": "unlearning_accuracy", "RA": "remaining_accuracy", "TA": "testing_accuracy"}
RETRAINED, ORIGINAL = "retrained", "original"


@dataclass(frozen=True)
class Chain:
    """A state, and how its requests are served."""

    name: str
    options: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its name in files."""
        return self.name.replace(" ", "-")


CHAINS = (
    Chain("aided SO", ("--mode", "aided", "--method", "so")),
    Chain("aided SPE-SO", ("--mode", "aided", "--sparsity", "0.9")),
    Chain("free SO", ("--mode", "free", "--method", "so")),
    Chain("free SPE-SO", ("--mode", "free", "--sparsity", "0.9")),
)


def main() -> None:
    """Run what is not done yet, and print and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sst2", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    sst2_sets.main(arguments.sst2, arguments.work)
    study = Study(arguments.work, arguments.encoder)
    _write_id_lists(study)
    original = study.train(ORIGINAL)
    study.statistics()
    rows = [row for chain in CHAINS for row in _rows_of_chain(study, chain)]
    for count in REFERENCES:
        model = study.train(f"{RETRAINED}-{count}", _so_far(study, count))
        rows.append({"method": RETRAINED, "requests": count, **_measured(study, model, count)})
    for count in MEASURED:
        rows.append({"method": ORIGINAL, "requests": count, **_measured(study, original, count)})
    print(markdown(rows))
    if arguments.picture:
        draw(rows, arguments.picture)
    if arguments.output:
        machine = f"{platform.machine()}, {platform.system()}"
        figures = {"date": date.today().isoformat(), "machine": machine, "rows": rows}
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


def _write_id_lists(study: Study) -> None:
    """The ids of each request, and of all up to each; the training rows are shuffled already."""
    with Path(study.data).open(encoding="utf-8") as file:
        ids = [json.loads(line)["id"] for line in file][: REQUESTS * SIZE]
    for count in range(1, REQUESTS + 1):
        (study.work / f"request-{count}.txt").write_text("\n".join(ids[(count - 1) * SIZE : count * SIZE]))
        _so_far(study, count).write_text("\n".join(ids[: count * SIZE]))


def _so_far(study: Study, count: int) -> Path:
    return study.work / f"so-far-{count}.txt"


def _rows_of_chain(study: Study, chain: Chain) -> list[Json]:
    """Serve all requests of a state, and measure after some of them."""
    state = study.work / f"state-{chain.label}"
    study.speu(
        *("requests", "init", str(state), "--model", str(study.work / ORIGINAL), "--data", study.data),
        *("--fisher", str(study.work / "fisher.safetensors"), *chain.options),
        *("--holdout", str(study.work / "heldout.jsonl")),
        keep=state.name,
    )
    rows: list[Json] = []
    for count in range(1, REQUESTS + 1):
        model = study.work / f"{chain.label}-{count}"
        answer = study.speu(
            *("unlearn", "--state", str(state), "--forget", str(study.work / f"request-{count}.txt")),
            *("--request-id", f"R-{count}", "-o", str(model)),
            keep=model.name,
        )
        if count in MEASURED:
            served, seconds = answer["result"], answer["process_seconds"]
            told = {name: served[name] for name in ("rate", "loss_before", "loss_after")}
            told |= {"drift": served["capacity"]["drift"]["share"], "seconds": seconds}
            measured = _measured(study, model, count)
            rows.append({"method": chain.name, "requests": count, **measured, **told})
    return rows


def _measured(study: Study, model: Path, count: int) -> Json:
    """Accuracies, with D_f all rows forgotten so far; D_r by a sample of 2,000."""
    answer = study.speu(
        *("eval", str(model), "--data", study.data, "--forget", str(_so_far(study, count))),
        *("--test", str(study.work / "test.jsonl"), "--max-remaining", "2000"),
        keep=f"eval-{model.name}-{count}",
    )
    return {short: answer["result"]["model"][name]["value"] for short, name in METRICS.items()}


def markdown(rows: Sequence[Json]) -> str:
    """One line a method and number of requests, accuracies in percent."""
    lines = [
        "| method | requests | UA | RA | TA | forget loss of the last | drift | time, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["method"], str(row["requests"]), *(f"{100 * row[name]:.2f}" for name in METRICS)]
        if "rate" in row:
            cells += [f"{row['loss_before']:.3f} → {row['loss_after']:.3f}", f"{row['drift']:.2%}"]
            cells.append(f"{row['seconds']:.0f}")
        else:
            cells += ["", "", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: Sequence[Json], target: Path) -> None:
    """Accuracy on the remaining and on the test rows, against the number of requests."""
    figure = Figure(figsize=(9, 4), layout="constrained", facecolor="white")
    for axes, metric, title in zip(
        figure.subplots(1, 2), ("RA", "TA"), ("remaining rows", "test rows"), strict=True
    ):
        for name in dict.fromkeys(row["method"] for row in rows):
            points = [(row["requests"], 100 * row[metric]) for row in rows if row["method"] == name]
            style = "--" if name in {RETRAINED, ORIGINAL} else "-"
            axes.plot(*zip(*points, strict=True), style, marker="o", label=name)
        axes.set_title(f"accuracy on {title}, %")
        axes.set_xlabel("requests of 32 rows")
    figure.axes[1].legend()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    main()
