"""The rate of a step: given, or the one at which the forget set looks unseen."""

from speu_cli.errors import InputError
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.rate import Rate, check_step, find_rate
from speu_cli.unlearning.second_order import Direction
from speu_cli.unlearning.settings import StepSettings

# η·n_r is of this order on real data when λ is a tenth of the mean curvature.
FIRST_RATE_TIMES_REMAINING = 1e-3


def settle_rate(
    session: Session, forget: Encoded, remaining: int, direction: Direction, settings: StepSettings
) -> Rate:
    """The rate asked for, if it leaves the model whole, or the one that meets the target.

    Args:
        session: The model.
        forget: The forget set.
        remaining: n_r.
        direction: Of the step.
        settings: Rate, target and limit.

    Returns:
        The rate, and the loss that it leads to.

    Raises:
        InputError: A rate is to be found without a target.
    """
    model = session.checkpoint.model

    def loss_at(rate: float) -> float:
        with direction.applied(model, rate):
            return float(session.losses(forget, f"trying rate {rate:.3g}").mean())

    if settings.rate is not None:
        loss = loss_at(settings.rate)
        check_step(loss, settings.target_loss, settings.max_overshoot)
        return Rate(settings.rate, loss, ((settings.rate, loss),))
    if settings.target_loss is None:
        raise InputError("--rate auto needs a target loss")
    start = FIRST_RATE_TIMES_REMAINING / remaining
    return find_rate(loss_at, settings.target_loss, start=start, max_overshoot=settings.max_overshoot)
