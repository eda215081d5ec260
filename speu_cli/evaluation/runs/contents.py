"""What is known of the runs as a whole, for the outputs that a person reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speu_cli.evaluation.definitions.definition import Definition
from speu_cli.evaluation.report.defined import Defined, definitions
from speu_cli.evaluation.runs.lineup import RUN, ComparedModel
from speu_cli.evaluation.runs.tables import column_definitions, name_of
from speu_cli.evaluation.table import Table


@dataclass(frozen=True)
class Contents:
    """What a page or a text is made from.

    Attributes:
        models: In order.
        tables: By name.
        sizes: Examples of ``forget``, ``remaining`` and ``test``.
        score: Name of the task's score.
        notes: What does not agree.
    """

    models: Sequence[ComparedModel]
    tables: Mapping[str, Table]
    sizes: Mapping[str, int]
    score: str
    notes: Sequence[str]

    @property
    def measured(self) -> str:
        """How many runs there are, and on what."""
        runs = sum(model.kind == RUN for model in self.models)
        what = ", ".join(f"{count:,} {name}" for name, count in self.sizes.items())
        return f"{runs} {'runs' if runs > 1 else 'run'}, measured on the same examples: {what}."

    @property
    def closest(self) -> str:
        """Which run is closest to the retrained model on average; a sentence."""
        gaps = {
            name_of(model): model.gaps["gap.average"]
            for model in self.models
            if model.kind == RUN and model.gaps and math.isfinite(model.gaps["gap.average"])
        }
        if not gaps:
            return "There is no retrained model to compare with, so no run is said to be the best."
        least = min(gaps.values())
        best = " and ".join(name for name, gap in gaps.items() if gap == least)
        return f"On average closest to the retrained model: {best}, {least:.2f} points away."

    @property
    def columns(self) -> dict[str, dict[str, Definition]]:
        """What the columns of metrics mean, by name of the table and title of the column."""
        return column_definitions(self.models, self.score, self.tables)

    @property
    def definitions(self) -> list[Defined]:
        """The definitions of all metrics that are shown, each once."""
        shown = (one for columns in self.columns.values() for one in columns.values())
        return definitions({one.pattern: one for one in shown})

    @property
    def limits(self) -> list[str]:
        """What the comparison does not show."""
        limits = [
            "Differences that are smaller than the intervals may be chance; look at the brackets.",
            "The average gap counts the score on three sets and one membership attack, and no other attack.",
        ]
        if any(model.gaps for model in self.models) and not any(model.noise for model in self.models):
            limits.append(
                "One retrained model does not say how far two of them would be apart: a small gap may be as "
                "good as none."
            )
        return limits
