"""Models measured by ``speu eval``, the moved one as a folder that is written for it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commands import Json

import speu_cli
from kronecker.opened import Opened, Sources
from speu_cli.checkpoints.write import write_checkpoint
from speu_cli.evaluation.gaps import gaps
from speu_cli.evaluation.metric import Metric, as_number


@dataclass
class Measured:
    """Measures models on the forget set, a sample of the remaining set, and the test set.

    Attributes:
        sources: The sets, and the reference.
        opened: How they are read, and the model as it is in memory.
        remaining: Most examples of the remaining set.
        seed: Of their choice and of the attack.
    """

    sources: Sources
    opened: Opened
    remaining: int
    seed: int
    _reference: Mapping[str, Metric] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.sources.reference is not None:
            self._reference = self._metrics(self.sources.reference)

    @property
    def reference(self) -> Json | None:
        """Of the retrained model, if there is one."""
        return None if self._reference is None else values_of(self._reference)

    def folder(self, model: Path) -> Json:
        """Measure a model.

        Args:
            model: Its folder.

        Returns:
            Metrics by name, and where there is a reference the gaps to it.
        """
        metrics = self._metrics(model)
        if self._reference is None:
            return values_of(metrics)
        found = gaps(metrics, self._reference)
        return values_of(metrics) | {name: as_number(gap) for name, gap in found.items()}

    def in_memory(self) -> Json:
        """Measure the model as it is now; as :meth:`folder`."""
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            record = {"encoding": self.opened.file.settings.to_record()}
            write_checkpoint(self.opened.session.checkpoint, model, record, force=False)
            return self.folder(model)

    def _metrics(self, model: Path) -> Mapping[str, Metric]:
        sources, session = self.sources, self.opened.session
        return speu_cli.evaluate(
            model,
            sources.data,
            sources.forget,
            sources.test,
            max_remaining=self.remaining,
            seed=self.seed,
            choice=session.choice,
            runtime=session.runtime,
        ).model


def values_of(metrics: Mapping[str, Metric]) -> Json:
    """The numbers without their intervals."""
    return {name: as_number(metric.value) for name, metric in metrics.items()}
