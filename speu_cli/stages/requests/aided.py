"""The step of a memory-aided request: everything at θ*, with the sums of all forgotten examples (Eq. 12)."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError
from speu_cli.masks.files import read_mask
from speu_cli.masks.importance import curvature_scale, warm_start_importance
from speu_cli.masks.localization import Localized
from speu_cli.masks.rearrangement import rearrange
from speu_cli.stages.request import Flags, open_with_statistics, sums_of_forgotten, wanted_of
from speu_cli.stages.requests.method import StateMethod, method_of
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoding import Encoded
from speu_cli.unlearning.forget_examples import enter_step
from speu_cli.unlearning.rate import Rate
from speu_cli.unlearning.requests.forgotten import Forgotten
from speu_cli.unlearning.requests.state import MASK, SETTINGS, State
from speu_cli.unlearning.second_order import second_order_direction


@dataclass(frozen=True)
class Original:
    """What every request of a state starts from.

    Attributes:
        session: θ*.
        file: Statistics of its training set.
        method: How requests are served.
        selected: The units of Eq. 13; None with ``so``.
    """

    session: Session
    file: StatisticsFile
    method: StateMethod
    selected: Mask | None


@dataclass(frozen=True)
class AidedStep:
    """What a request does to the model.

    Attributes:
        mask: Which units may change.
        localized: How it came about; None for a mask of ones.
        parameters: Parameter entries in their slices.
        forgotten: Sums over all forgotten examples, those of this request among them.
        remaining: n_r.
        rate: η of the new examples; None if there are none.
        loss_before: Mean loss of the new examples at θ*; None if there are none.
        loss_after: At the new model.
    """

    mask: Mask
    localized: Localized | None
    parameters: int
    forgotten: Forgotten
    remaining: int
    rate: float | None
    loss_before: float | None
    loss_after: float | None


def open_original(state: State, runtime: Runtime) -> Original:
    """Load what a state starts from.

    Args:
        state: The state.
        runtime: Where to run.

    Returns:
        Model, statistics and method.

    Raises:
        ArtifactError: They are not those that the state was made with.
    """
    settings = state.settings
    choice = DataChoice(split=settings.split)
    session, file = open_with_statistics(Path(settings.model), Path(settings.fisher), choice, runtime)
    identity = session.checkpoint.identity
    identity.require_same(ModelIdentity(**settings.identity), str(state.folder / SETTINGS))
    if file.digest != settings.statistics:
        raise ArtifactError(
            f"{settings.fisher} is not the statistics file of this state: its sha256 is "
            f"{file.digest[:12]}, expected {settings.statistics[:12]}",
            hint="put back the file that the state was made with",
        )
    method = method_of(settings.method, state.folder / SETTINGS)
    selected = None
    if method.name == "spe-so":
        selected, _ = read_mask(state.folder / MASK, identity, session.layout)
    return Original(session, file, method, selected)


def aided_step(
    original: Original, before: Forgotten | None, encoded: Encoded, rate: float | None
) -> AidedStep:
    """Compute the step of a request together with all before it, and move the model.

    Args:
        original: θ* and what belongs to it; its model is moved.
        before: Sums over what earlier requests forgot; None before any.
        encoded: The new examples; may be none.
        rate: η of the new examples. Default: as the state says.

    Returns:
        The step.
    """
    session, file, settings = original.session, original.file, original.method.with_rate(rate)
    losses = session.outcomes(encoded, "forget losses").losses
    enters = enter_step(losses, settings.forget_examples, settings.target_loss)
    new = _sums(original, encoded, enters)
    together = new if before is None else before + new
    remaining = together.remaining(file.statistics, len(file.rows))
    localized = _localized(original, together, remaining)
    mask = localized.rearranged.mask if localized else Mask.ones(session.layout)

    def find_rate() -> Rate:
        """From where the earlier requests lead."""
        direction = second_order_direction(new.in_step, remaining, mask, damping=settings.damping)
        with ExitStack() as stack:
            if before is not None:
                earlier = second_order_direction(before.in_step, remaining, mask, damping=settings.damping)
                stack.enter_context(earlier.applied(session.checkpoint.model, 1.0))
            return settle_rate(session, encoded, remaining.count, direction, settings)

    found = find_rate() if len(encoded) else None
    rated = new.at_rate(found.value if found else 0.0)
    forgotten = rated if before is None else before + rated
    # In one step from θ*, so that equal sums give equal bits.
    direction = second_order_direction(forgotten.in_step, remaining, mask, damping=settings.damping)
    direction.apply(session.checkpoint.model, 1.0)
    return AidedStep(
        mask=mask,
        localized=localized,
        parameters=direction.size,
        forgotten=forgotten,
        remaining=remaining.count,
        rate=found.value if found else None,
        loss_before=float(losses.mean()) if found else None,
        loss_after=found.loss if found else None,
    )


def _sums(original: Original, encoded: Encoded, enters: Flags) -> Forgotten:
    """Sums over the new examples, their gradients without a rate."""
    session, file = original.session, original.file
    parameters = dict.fromkeys(session.layout.parameters)
    wanted = wanted_of(file, parameters, mask_statistics=original.selected is not None)
    counted = np.isin(encoded.keys.numpy(), file.rows[file.used])
    sums = sums_of_forgotten(session, encoded, wanted, enters, counted)
    return Forgotten.of(len(encoded), sums.counted, sums.in_step)


def _localized(original: Original, together: Forgotten, remaining: Statistics) -> Localized | None:
    """What was selected before any request (Eq. 13), rearranged for all of them (Eq. 9)."""
    if original.selected is None:
        return None
    settings, u = original.method.mask, together.in_step.mask_gradient
    c = curvature_scale(settings.curvature, remaining.count)
    rearranged = rearrange(original.selected, u, remaining, c, rounds=settings.rounds)
    return Localized(rearranged, warm_start_importance(original.file.statistics))
