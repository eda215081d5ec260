"""How well a model knows an example, as a number that moves evenly where its loss does not.

The loss of a remembered example is flat, and that of a missed one steep; a margin z moves by about as much
for the same change of the model in both. It is a falling function of the loss ℓ, so that it can be read off
losses that were kept, and its gradient is that of the loss times dz/dℓ.
"""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PretrainedConfig

from speu_cli.tasks.log_odds import LEAST_LOSS, log_odds

Floats = npt.NDArray[np.float64]


class Margins(Protocol):
    """The margin of a task, as a function of its loss."""

    def lowest(self, config: PretrainedConfig) -> float:
        """Of what is as wrong as can be: less than that says nothing of having been seen."""
        ...

    def of(self, losses: Floats) -> Floats:
        """Z of losses ℓ ≥ 0, ``[n]``: higher for what is known better."""
        ...

    def losses(self, margins: Floats) -> Floats:
        """The losses that have these margins, ``[n]``: the inverse of :meth:`of`."""
        ...

    def slopes(self, losses: Floats) -> Floats:
        """dz/dℓ < 0 of losses ℓ ≥ 0, ``[n]``."""
        ...

    def differentiable(self, losses: Tensor) -> Tensor:
        """The same as :meth:`of`, with a gradient."""
        ...


class LogOdds:
    """Where exp(−ℓ) is a probability p: its log-odds, log p − log(1 − p).

    Of a class it is the true logit less the logsumexp of the others: ℓ = log(1 + e^{−z}).
    """

    def lowest(self, config: PretrainedConfig) -> float:
        """That of p = 0.25 %, whatever the model."""
        return -6.0

    def of(self, losses: Floats) -> Floats:
        """−log(e^ℓ − 1)."""
        margins: Floats = self.differentiable(torch.from_numpy(losses)).numpy()
        return margins

    def differentiable(self, losses: Tensor) -> Tensor:
        """As :func:`speu_cli.tasks.log_odds.log_odds`."""
        return log_odds(losses)

    def losses(self, margins: Floats) -> Floats:
        """log(1 + e^{−z})."""
        return np.logaddexp(0.0, -margins)

    def slopes(self, losses: Floats) -> Floats:
        """−1 / (1 − e^{−ℓ})."""
        return 1 / np.expm1(-np.maximum(losses, LEAST_LOSS))


class LogOddsOfTokens(LogOdds):
    """Where exp(−ℓ) is the geometric mean of the probabilities of tokens, each out of a vocabulary."""

    def lowest(self, config: PretrainedConfig) -> float:
        """That of a guess, one token as likely as any other."""
        return -math.log(config.get_text_config().vocab_size - 1)


class Closeness:
    """Where ℓ is a squared error: minus the distance from the truth, −√ℓ."""

    def lowest(self, config: PretrainedConfig) -> float:
        """There is none."""
        return -math.inf

    def of(self, losses: Floats) -> Floats:
        """−√ℓ."""
        return -np.sqrt(losses)

    def differentiable(self, losses: Tensor) -> Tensor:
        """−√ℓ, without a gradient where the loss is as good as 0."""
        return -losses.clamp(min=LEAST_LOSS).sqrt()

    def losses(self, margins: Floats) -> Floats:
        """z²."""
        return np.square(margins)

    def slopes(self, losses: Floats) -> Floats:
        """−1 / (2√ℓ)."""
        return -0.5 / np.sqrt(np.maximum(losses, LEAST_LOSS))
