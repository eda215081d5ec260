"""The step of a memory-free request: from the last model, with statistics of what remains (Eq. 11)."""

from dataclasses import replace

import numpy as np
import torch

from speu_cli.data.examples import Examples
from speu_cli.data.selection import sample_flags
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.localization import localize
from speu_cli.stages.request import statistics_of
from speu_cli.stages.requests.base import Base
from speu_cli.stages.requests.step import RequestStep
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.wanted import SAMPLE, Wanted
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.forget_examples import enter_step
from speu_cli.unlearning.requests.state import State
from speu_cli.unlearning.second_order import second_order_direction


def remaining_examples(state: State, base: Base, examples: Examples, new: Examples) -> Examples:
    """D_r^t: the training set without all that was forgotten and without the new examples.

    Args:
        state: Knows what was forgotten.
        base: Knows the rows of the training set.
        examples: What is left of it, and maybe more.
        new: Of the request.

    Returns:
        They.

    Raises:
        ArtifactError: Some are missing, or were changed.
        InputError: Nothing remains.
    """
    known, leaving = np.isin(examples.row_hashes(), base.file.rows), set(new.ids)
    ids = [
        one
        for one, is_known in zip(examples.ids, known, strict=True)
        if is_known and one not in leaving and state.salt.hash(one) not in state.forgotten
    ]
    expected = len(base.file.rows) - len(state.forgotten) - len(new)
    if expected <= 0:
        raise InputError(
            "nothing remains", hint="retrain without the forgotten examples, and make a new state"
        )
    if len(ids) != expected:
        raise ArtifactError(
            f"{examples.source} has {len(ids)} of the remaining training examples, expected {expected}, with "
            "the text and label that they were trained with",
            hint="give the data that 'speu fisher' read; only rows that were forgotten may be missing",
        )
    return examples.select(ids)


def free_step(
    base: Base, in_all: int, new: Encoded, remaining: Examples, max_examples: int | None, rate: float | None
) -> RequestStep:
    """Compute the step of a request from the last model, and move it.

    Args:
        base: The last model; it is moved.
        in_all: Number of examples that are forgotten then.
        new: The new examples; may be none.
        remaining: D_r^t.
        max_examples: Most examples of it that the statistics are of; None: all.
        rate: η. Default: as the state says.

    Returns:
        The step.
    """
    session, settings = base.session, base.method.with_rate(rate)
    if not len(new):
        nothing = Mask.zeros(session.layout)
        return RequestStep(nothing, None, 0, None, in_all, len(remaining), 0, None, None, None)
    losses = session.losses(new, "forget losses")
    enters = np.flatnonzero(enter_step(losses, settings.forget_examples, settings.target_loss))
    flags = sample_flags(len(remaining), max_examples, in_all)
    used = remaining.select([one for one, chosen in zip(remaining.ids, flags, strict=True) if chosen])
    wanted = _wanted(base, used)
    # In float32, as a statistics file has it.
    sums = statistics_of(session, session.encode(used), wanted, "remaining statistics", torch.float32)
    left = sums.scaled_to(len(remaining))
    in_step = statistics_of(session, new.select(enters.tolist()), wanted)
    localized = None
    if base.method.name == "spe-so":
        localized = localize(in_step, left, session.layout, base.method.mask)
    mask = localized.rearranged.mask if localized else Mask.ones(session.layout)
    direction = second_order_direction(
        in_step, left, mask, damping=settings.damping, stiffness=settings.stiffness
    )
    found = settle_rate(session, new, left.count, direction, settings)
    direction.apply(session.checkpoint.model, found.value)
    return RequestStep(
        mask=mask,
        localized=localized,
        parameters=direction.size,
        forgotten=None,
        in_all=in_all,
        remaining=left.count,
        counted=len(used),
        rate=found.value,
        loss_before=float(losses.mean()),
        loss_after=found.loss,
    )


def _wanted(base: Base, used: Examples) -> Wanted:
    """What is collected: of whole parameters, with the mask variables where a mask is to be chosen."""
    rows = np.sort(used.row_hashes())
    sampled = torch.from_numpy(rows[:SAMPLE].copy())
    parameters = dict.fromkeys(base.session.layout.parameters)
    wanted = Wanted(parameters, mask_statistics=base.method.name == "spe-so", sampled=sampled)
    directions = base.file.collected.directions
    if base.method.step.stiffness is None or directions is None:
        return wanted
    return replace(wanted, directions=directions, directed=directions.sample(torch.from_numpy(rows)))
