"""The statistics pass of speu, which gives g, u and B beside F."""

from typing import ClassVar

import torch
from subjects import Fisher

from peers.base import Method
from speu_cli.statistics.collector import collect
from speu_cli.statistics.wanted import Wanted
from speu_cli.tasks.encoded import Encoded


class Speu(Method):
    """All four statistics, of which F is compared."""

    name: ClassVar[str] = "speu"
    required: ClassVar[bool] = True

    wanted: Wanted | None = None
    """What is collected; None: everything."""

    def run(self, encoded: Encoded) -> Fisher:
        """The pass that ``speu fisher`` runs, which writes single precision."""
        subject = self.subject
        collected = collect(
            subject.model,
            subject.layout,
            subject.task,
            encoded,
            batch_tokens=subject.batch_tokens,
            wanted=self.wanted,
            dtype=torch.float32,
        )
        return dict(collected.statistics.fisher)
