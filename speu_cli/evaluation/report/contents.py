"""What a report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from speu_cli.data.examples import Examples
from speu_cli.evaluation.attacks import Curve
from speu_cli.evaluation.definitions.definition import Definition
from speu_cli.evaluation.gates import GateResult
from speu_cli.evaluation.metric import Metric
from speu_cli.evaluation.report.movement import Movement
from speu_cli.tasks.outcomes import Outcomes

Flags = npt.NDArray[np.bool_]
MODEL, ORIGINAL = "model", "original"
FORGET, REMAINING, TEST = SETS = ("forget", "remaining", "test")


@dataclass(frozen=True)
class Known:
    """Something that may be known of a checkpoint, or a sentence that says why it is not.

    Attributes:
        selected: Which units could change, by group.
        movement: Where the weights moved.
        why_no_mask: A sentence; empty when the mask is known.
        why_no_movement: A sentence; empty when the movement is known.
    """

    selected: Mapping[str, Flags] | None = None
    movement: Sequence[Movement] | None = None
    why_no_mask: str = ""
    why_no_movement: str = ""


@dataclass(frozen=True)
class Relearning:
    """How what was forgotten came back when some of it was trained on.

    Attributes:
        shown: Forgotten examples that were trained on.
        held_back: The others, which were measured.
        score: Name of the score.
        level: The loss at which half of what was forgotten is back; NaN where that is not known.
        curves: Of each model by its name.
    """

    shown: int
    held_back: int
    score: str
    level: float
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Contents:
    """What a report is made from.

    Attributes:
        metrics: Of each model by its name, in the order of columns: ``original``, ``model``, references.
        gaps: Distances of the model from the references, in points; None without a reference.
        noise: Distance between two retrained models, in points; None of fewer than two.
        retrained: How many retrained models there are; ``reference`` has the means of their metrics, and the
            outcomes of the first.
        gates: What became of the requirements.
        sets: ``forget``, ``remaining`` and ``test`` with their examples.
        outcomes: Of each model on each set.
        record: What the checkpoint says of itself; None if it says nothing.
        known: Its mask, and where its weights moved.
        show_text: Whether the texts of forgotten examples may be shown.
        relearning: The course of that attack; None without.
        definitions: Of the metrics, by their names.
    """

    metrics: Mapping[str, Mapping[str, Metric]]
    gaps: Mapping[str, float] | None
    gates: Sequence[GateResult]
    sets: Mapping[str, Examples]
    outcomes: Mapping[str, Mapping[str, Outcomes]]
    record: Mapping[str, Any] | None
    known: Known
    show_text: bool = False
    noise: Mapping[str, float] | None = None
    retrained: int = 1
    relearning: Relearning | None = None
    definitions: Mapping[str, Definition] = field(default_factory=dict)

    @property
    def references(self) -> list[str]:
        """Names of the models that were retrained."""
        return [name for name in self.metrics if name not in {MODEL, ORIGINAL}]

    def metric(self, model: str, name: str) -> Metric | None:
        """A metric of a model; None where the model or the metric is not there."""
        return self.metrics.get(model, {}).get(name)
