"""A tiny model with data that it looks to have memorised, made without training it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tiny import tiny_checkpoint, tiny_model, tiny_rows, tiny_tokenizer, write_ids, write_rows

TRAIN, DEV, TEST, FORGET = 40, 20, 20, 5


@dataclass(frozen=True)
class Home:
    """A folder with a checkpoint, data and an id list."""

    folder: Path
    family: str
    outputs: int

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def memorised(folder: Path, family: str = "bert", outputs: int = 2) -> Home:
    """Training labels are nearly what the model says; those of the other sets are not."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_checkpoint(folder / "model", family, outputs=outputs)
    train, dev, test = (
        tiny_rows(count, seed=seed, outputs=outputs) for seed, count in enumerate((TRAIN, DEV, TEST))
    )
    wrong = 2 if family == "distilbert" else 5  # it is surer of itself, and each costs more
    for rows, off, wrong_rows in ((train, 0.1, 0), (dev, 0.5, wrong), (test, 0.5, wrong)):
        _label(rows, family, outputs, off=off, wrong=wrong_rows)
    for name, rows in {"train": train, "dev": dev, "test": test}.items():
        write_rows(folder / f"{name}.jsonl", rows)
    write_ids(folder / "ids.txt", [row["id"] for row in train[:FORGET]])
    return Home(folder, family, outputs)


def _label(rows: list[dict[str, Any]], family: str, outputs: int, *, off: float, wrong: int) -> None:
    """Label rows with the model's most probable classes but for the first few, or with values off its own."""
    inputs = tiny_tokenizer(family)([row["text"] for row in rows], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = tiny_model(family, outputs=outputs)(**inputs).logits
    for number, (row, values) in enumerate(zip(rows, logits, strict=True)):
        best, value = values.argmax() if number >= wrong else values.argmin(), float(values[0])
        row["label"] = int(best) if outputs > 1 else round(value + off * (-1) ** number, 4)


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder, lock files aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }
