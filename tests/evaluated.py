"""Evaluations as ``speu eval --json`` prints them, made up: models that forgot more or less."""

import copy
import json
from pathlib import Path
from typing import Any

from reports import published
from speu_cli.evaluation.runs.run import Run, run_from

_PUBLISHED = {references: published(references) for references in (0, 1, 2)}
SCORES = ("unlearning_accuracy", "remaining_accuracy", "testing_accuracy")


def evaluation(weights: str = "1", *, references: int = 1, **values: float) -> dict[str, Any]:
    """An evaluation.

    Args:
        weights: A digit: which model this is.
        references: How many retrained models it was compared with.
        **values: Of metrics of the model; a double underscore stands for a dot.

    Returns:
        What was printed.
    """
    found: dict[str, Any] = copy.deepcopy(_PUBLISHED[references])
    for name, value in values.items():
        found["model"][name.replace("__", ".")]["value"] = value
    found["identity"]["weights"]["model"] = weights * 64
    return found


def run(name: str, values: dict[str, Any] | None = None) -> Run:
    """It as it is read."""
    return run_from(values or evaluation(), name, f"{name}.json")


def write(path: Path, values: object) -> Path:
    """Write it to a file."""
    path.write_text(json.dumps(values))
    return path
