"""What the tests of statistics, masks and steps share: models, encoded examples, and comparison of sums."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.progress import Silent
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout, find_layout
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoding import Encoded, encode
from speu_cli.tasks.registry import find_task
from tiny import tiny_model, tiny_rows, tiny_tokenizer, write_rows

PARTS = ("fisher", "gradient", "mask_gradient", "mask_fisher")


@dataclass(frozen=True)
class Case:
    """A model with examples."""

    model: PreTrainedModel
    layout: Layout
    task: Task
    encoded: Encoded


@dataclass
class Notes(Silent):
    """Remembers what it is told."""

    notes: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        self.notes.append(message)


def make_case(
    folder: Path,
    family: str = "bert",
    *,
    outputs: int = 2,
    count: int = 17,
    dtype: torch.dtype = torch.float64,
) -> Case:
    """A tiny model and random examples of it."""
    model = tiny_model(family, outputs=outputs).to(dtype)
    rows = write_rows(folder / "rows.jsonl", tiny_rows(count, outputs=outputs, pairs=family == "bert"))
    task = find_task(model.config)
    encoded = encode(load_examples(str(rows), DataChoice()), tiny_tokenizer(family), task, model, 32)
    return Case(model, find_layout(model), task, encoded)


def largest_difference(one: Statistics, other: Statistics, parts: Sequence[str] = PARTS) -> float:
    """Largest difference of any entry, relative to the largest entry of its kind of sum.

    Relative to the whole kind, not to the tensor: a key's bias has no gradient, and relative to itself its
    rounding noise would be everything.
    """
    assert one.count == other.count
    worst = 0.0
    for part in parts:
        mine: dict[str, Tensor] = dict(getattr(one, part))
        theirs: dict[str, Tensor] = dict(getattr(other, part))
        assert mine.keys() == theirs.keys()
        scale = max(float(tensor.abs().max()) for tensor in theirs.values())
        assert scale > 0
        worst = max(worst, *(float((mine[name] - theirs[name]).abs().max()) / scale for name in theirs))
    return worst
