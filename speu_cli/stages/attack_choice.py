"""Which attacks of ``speu eval`` are tried."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speu_cli.checkpoints.quantized import SCHEMES, Precision
from speu_cli.errors import InputError


@dataclass(frozen=True)
class AttackChoice:
    """Which attacks are tried on each model; none by default.

    Attributes:
        relearn: Train for so many steps on a few of the forgotten examples.
        relearn_examples: On how many. Default: a tenth of them, at least 8, at most half.
        relearn_rate: Learning rate of it. Default: 5e-5.
        quantize: Round the weights to these.
        paraphrases: Source of forgotten examples in other words, with their ids.
    """

    relearn: int | None = None
    relearn_examples: int | None = None
    relearn_rate: float | None = None
    quantize: Sequence[Precision] = ()
    paraphrases: str | None = None

    def require_possible(self) -> None:
        """Refuse what cannot be done with any data.

        Raises:
            InputError: A number is out of its range, an option lacks the one that it belongs to, or there is
                no such precision.
        """
        if self.relearn is None and (self.relearn_examples, self.relearn_rate) != (None, None):
            raise InputError("--relearn-examples and --relearn-rate belong to --relearn, which is not given")
        for name, number in (("relearn", self.relearn), ("relearn-examples", self.relearn_examples)):
            if number is not None and number < 1:
                raise InputError(f"--{name} is {number}, expected at least 1")
        rate = self.relearn_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InputError(f"--relearn-rate is {rate}, expected a finite number above 0")
        for precision in self.quantize:
            if precision not in SCHEMES:
                raise InputError(f"--quantize is {precision!r}, expected one of {', '.join(SCHEMES)}")
