"""Which forget examples enter the step.

An example that the model gets wrong already has a large gradient and nothing to forget. ``remembered``
leaves those out; ``all`` is the paper's choice, and no worse on average where it was measured.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from speu_cli.errors import InputError

ForgetExamples = Literal["all", "remembered"]


def enter_step(
    losses: npt.NDArray[np.float64], choice: ForgetExamples, unseen_loss: float | None
) -> npt.NDArray[np.bool_]:
    """Choose the examples whose gradients enter g_f and u_f.

    Args:
        losses: Of the forget examples before the step, ``[n]``.
        choice: ``all``, or ``remembered``: those whose loss is below that of unseen examples.
        unseen_loss: Mean loss of unseen examples; ``remembered`` needs it.

    Returns:
        Bool ``[n]``.

    Raises:
        InputError: ``remembered`` without an unseen loss.
    """
    if choice == "all":
        return np.ones(len(losses), dtype=np.bool_)
    if unseen_loss is None:
        raise InputError(
            "what unseen examples look like is not known: there is no held-out set and no target loss",
            hint="compute the statistics with 'speu fisher --holdout', or give --target-loss, "
            "or take --forget-examples all",
        )
    return losses < unseen_loss
