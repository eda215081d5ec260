"""How large a checkpoint is, and how much of it a request could change; its weights are not read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from speu_cli.checkpoints.outline import load_outline
from speu_cli.structures.layout import find_layout
from speu_cli.structures.units import KINDS
from speu_cli.wording import part_of


def model_counts(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Count the heads, filters and parameters of a checkpoint.

    Args:
        folder: Of the checkpoint.
        record: What it says of itself: a request tells what it could change.

    Yields:
        A label and a value for a person.
    """
    model = load_outline(folder, device="cpu", dtype=torch.float32).model
    layout, selected = find_layout(model), record.get("selected") or {}
    for kind in KINDS:
        if count := layout.count(kind):
            yield kind, _changed(selected[kind][0] if kind in selected else None, count)
    total = sum(parameter.numel() for parameter in model.parameters())
    yield "parameters", _changed(record.get("parameters_changed"), total)


def _changed(some: int | None, of: int) -> str:
    return f"{of:,}" if some is None else f"{part_of(some, of)} could change"
