"""Cut a data set into the parts of a table: training, held-out and test rows, and a forget draw."""

import gzip
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

SHORT = 500
QA = ("--task", "question-answering")
HELDOUT = 500
FORGET = 64


@dataclass(frozen=True)
class TableSet:
    """A data set of the paper, cut down to what a processor can train on.

    Attributes:
        training: Training rows.
        test: Test rows.
        max_length: Longest input, in tokens.
        epochs: Of the first training and of retraining.
        table: Of the paper.
        score: What its table shows, as ``speu eval`` names it after ``unlearning_``.
        short: The score in a column's title.
        task: Options that name the task.
        remaining: Rows of D_r that are measured.
        longest: Only rows whose context has at most so many characters. Default: all rows.
    """

    training: int
    test: int
    max_length: int
    epochs: int
    table: str
    score: str
    short: str
    task: tuple[str, ...] = ()
    remaining: int = 1_000
    longest: int | None = None


SETS = {
    "qqp": TableSet(4_000, 2_000, 64, 5, "Table 4", "accuracy", "A"),
    "stsb": TableSet(4_000, 1_500, 64, 5, "Table 6", "spearman", "S", ("--task", "regression")),
    "squad1": TableSet(800, 400, 256, 5, "Table 7", "f1", "F1", QA, 400, SHORT),
    "squad2": TableSet(800, 400, 256, 5, "Table 8", "f1", "F1", QA, 400, SHORT),
}


def prepare(source: Path, cut: TableSet, target: Path) -> None:
    """Write ``train``, ``heldout`` and ``test`` as JSON lines, and ``forget.txt``, shuffled with seed 0.

    Args:
        source: Folder with ``train.jsonl.gz`` and ``dev.jsonl.gz``.
        cut: How many rows.
        target: Folder to make.
    """
    target.mkdir(parents=True, exist_ok=True)
    training, test = (_shuffled(source / f"{name}.jsonl.gz", cut.longest) for name in ("train", "dev"))
    _write(target / "train.jsonl", training[: cut.training])
    _write(target / "heldout.jsonl", training[cut.training : cut.training + HELDOUT])
    _write(target / "test.jsonl", test[: cut.test])
    (target / "forget.txt").write_text("\n".join(str(row["id"]) for row in training[:FORGET]) + "\n")


def _shuffled(path: Path, longest: int | None) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows: list[Row] = [json.loads(line) for line in file]
    if longest is not None:
        rows = [row for row in rows if len(row["context"]) <= longest]
    random.Random(0).shuffle(rows)
    return rows


def _write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
