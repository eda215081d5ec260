"""The second-order step of a request (Eq. 10), from statistics to a model that has moved in memory."""

from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.chosen_mask import ChosenMask, mask_of_request, wanted_for_mask
from speu_cli.stages.done import Done
from speu_cli.stages.request import ForgetSet, open_request, wanted_of, with_directions
from speu_cli.stages.session import Session
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.wanted import Part, Wanted, wanted_slices
from speu_cli.unlearning.second_order import second_order_direction
from speu_cli.unlearning.settings import StepSettings


def second_order(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    mask_settings: MaskSettings,
    settings: StepSettings,
) -> Done:
    """Take the second-order step (Eq. 10), in memory.

    Args:
        session: The model; it is moved.
        file: Statistics of the training set.
        forget: The forget set.
        given: The mask; None if it is to be made.
        mask_settings: How it is made then.
        settings: How the step is made.

    Returns:
        What was done.
    """
    wanted = wanted_of_step(session, file, forget, given, mask_settings)
    if settings.stiffness is not None:
        wanted = with_directions(wanted, file)
    request = open_request(session, file, forget, wanted)
    chosen = given or mask_of_request(session, request, mask_settings, file.digest)
    in_step, remaining = request.in_step, request.remaining
    direction = second_order_direction(
        in_step, remaining, chosen.mask, damping=settings.damping, stiffness=settings.stiffness
    )
    found = settle_rate(session, forget.encoded, remaining.count, direction, settings)
    direction.apply(session.checkpoint.model, found.value)
    return Done(
        chosen=chosen,
        settings=settings.record() | {"damping_mean": "slices" if file.collected.mask else "tensor"},
        in_step=in_step.count,
        remaining=remaining.count,
        entries=direction.size,
        rate=found,
        loss=found.loss,
        note=None if found.value else "the forget set looks unseen already: the model is left as it was",
    )


def wanted_of_step(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    mask_settings: MaskSettings,
) -> Wanted:
    """What the step needs of the forget set.

    With statistics of whole parameters those of the forget set are whole too, even where the mask is
    known: the damping is relative to the mean curvature of the whole tensor.

    Args:
        session: The model.
        file: Statistics of the training set.
        forget: The forget set.
        given: The mask, if it is known.
        mask_settings: How it is made, if it is not.

    Returns:
        The wish.
    """
    parameters: dict[str, Part | None] = dict.fromkeys(session.layout.parameters)
    if given is None:
        return wanted_for_mask(file, parameters, forget, mask_settings)
    if file.collected.mask is not None:
        parameters = wanted_slices(given.mask)
    return wanted_of(file, parameters, mask_statistics=False)
