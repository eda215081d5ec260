"""The step of a memory-aided request: everything at θ*, with the sums of all forgotten examples (Eq. 12)."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from speu_cli.masks.importance import curvature_scale, warm_start_importance
from speu_cli.masks.localization import Localized
from speu_cli.masks.rearrangement import rearrange
from speu_cli.stages.request import Flags, sums_of_forgotten, wanted_of, with_directions
from speu_cli.stages.requests.base import Base
from speu_cli.stages.requests.step import RequestStep
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.forget_examples import enter_step
from speu_cli.unlearning.rate import Rate
from speu_cli.unlearning.requests.forgotten import Forgotten
from speu_cli.unlearning.second_order import Direction, second_order_direction


def aided_step(base: Base, before: Forgotten | None, encoded: Encoded, rate: float | None) -> RequestStep:
    """Compute the step of a request together with all before it, and move the model.

    Args:
        base: θ* and what belongs to it; its model is moved.
        before: Sums over what earlier requests forgot; None before any.
        encoded: The new examples; may be none.
        rate: η of the new examples. Default: as the state says.

    Returns:
        The step.
    """
    session, file, settings = base.session, base.file, base.method.with_rate(rate)
    losses = session.losses(encoded, "forget losses")
    enters = enter_step(losses, settings.forget_examples, settings.target_loss)
    new = _sums(base, encoded, enters)
    together = new if before is None else before + new
    remaining = together.remaining(file.statistics, len(file.rows))
    localized = _localized(base, together, remaining)
    mask = localized.rearranged.mask if localized else Mask.ones(session.layout)

    def direction_of(in_step: Statistics) -> Direction:
        return second_order_direction(
            in_step, remaining, mask, damping=settings.damping, stiffness=settings.stiffness
        )

    def find_rate() -> Rate:
        """From where the earlier requests lead."""
        direction = direction_of(new.in_step)
        with ExitStack() as stack:
            if before is not None:
                stack.enter_context(direction_of(before.in_step).applied(session.checkpoint.model, 1.0))
            return settle_rate(session, encoded, remaining.count, direction, settings)

    found = find_rate() if len(encoded) else None
    rated = new.at_rate(found.value if found else 0.0)
    forgotten = rated if before is None else before + rated
    # In one step from θ*, so that equal sums give equal bits.
    direction = direction_of(forgotten.in_step)
    direction.apply(session.checkpoint.model, 1.0)
    return RequestStep(
        mask=mask,
        localized=localized,
        parameters=direction.size,
        forgotten=forgotten,
        in_all=forgotten.examples,
        remaining=remaining.count,
        counted=file.statistics.count - forgotten.counted.count,
        rate=found.value if found else None,
        loss_before=float(losses.mean()) if found else None,
        loss_after=found.loss if found else None,
    )


def _sums(base: Base, encoded: Encoded, enters: Flags) -> Forgotten:
    """Sums over the new examples, their gradients without a rate."""
    # One example a batch: its gradients do not depend on the company that it comes in. In float32 a batch's
    # padding moves the sums by 1e-5, which is enough for another swap of Eq. 9.
    alone = replace(base.session.runtime, batch_tokens=1)
    session, file = replace(base.session, runtime=alone), base.file
    parameters = dict.fromkeys(session.layout.parameters)
    wanted = wanted_of(file, parameters, mask_statistics=base.selected is not None)
    if base.method.step.stiffness is not None:
        wanted = with_directions(wanted, file)
    counted = np.isin(encoded.keys.numpy(), file.rows[file.used])
    sums = sums_of_forgotten(session, encoded, wanted, enters, counted)
    return Forgotten.of(len(encoded), sums.counted, sums.in_step)


def _localized(base: Base, together: Forgotten, remaining: Statistics) -> Localized | None:
    """What was selected before any request (Eq. 13), rearranged for all of them (Eq. 9)."""
    if base.selected is None:
        return None
    settings, u = base.method.mask, together.in_step.mask_gradient
    c = curvature_scale(settings.curvature, remaining.count)
    rearranged = rearrange(base.selected, u, remaining, c, rounds=settings.rounds)
    return Localized(rearranged, warm_start_importance(base.file.statistics))
