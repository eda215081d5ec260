"""The second-order step of a request (Eq. 10), from statistics to a model that has moved in memory."""

from dataclasses import replace

from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.chosen_mask import ChosenMask, mask_of_request, wanted_for_mask
from speu_cli.stages.done import Done
from speu_cli.stages.request import (
    ForgetSet,
    open_request,
    statistics_of,
    wanted_of,
    with_directions,
)
from speu_cli.stages.session import Session
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Part, Wanted, wanted_slices
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.forget_objective import Ascended, ForgetObjective
from speu_cli.unlearning.rate import Rate
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.second_order import second_order_direction
from speu_cli.unlearning.settings import StepSettings


def second_order(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    mask_settings: MaskSettings,
    settings: StepSettings,
    recipe: Recipe,
) -> Done:
    """Take the second-order step (Eq. 10), in memory; or several, each with fresh gradients.

    Args:
        session: The model; it is moved.
        file: Statistics of the training set.
        forget: The forget set.
        given: The mask; None if it is to be made.
        mask_settings: How it is made then.
        settings: How a step is made.
        recipe: Objective and number of steps.

    Returns:
        What was done.
    """
    wanted = wanted_of_step(session, file, forget, given, mask_settings)
    if settings.stiffness is not None:
        wanted = with_directions(wanted, file)
    request = open_request(session, file, forget, wanted)
    chosen = given or mask_of_request(session, request, mask_settings, file.digest)
    in_step, remaining = request.in_step, request.remaining
    first = float(forget.losses.mean())
    rates: list[Rate] = []
    entries = 0
    for step in range(recipe.steps):
        if step or recipe.objective != "loss":
            in_step = _gradients(session, forget, chosen.mask, recipe.objective)
        direction = second_order_direction(
            in_step, remaining, chosen.mask, damping=settings.damping, stiffness=settings.stiffness
        )
        part_way = _part_of_the_way(settings, first, (step + 1) / recipe.steps)
        rates.append(settle_rate(session, forget.encoded, remaining.count, direction, part_way))
        direction.apply(session.checkpoint.model, rates[-1].value)
        entries = direction.size
    found = rates[-1]
    moved = any(rate.value for rate in rates)
    return Done(
        chosen=chosen,
        settings=settings.record()
        | {"damping_mean": "slices" if file.collected.mask else "tensor"}
        | (
            {"recipe": recipe.record(), "rates": [rate.value for rate in rates]}
            if recipe.name != "paper"
            else {}
        ),
        in_step=in_step.count,
        remaining=remaining.count,
        entries=entries,
        rate=Rate(found.value, found.loss, tuple(trial for rate in rates for trial in rate.trials)),
        loss=found.loss,
        note=None if moved else "the forget set looks unseen already: the model is left as it was",
    )


def _part_of_the_way(settings: StepSettings, first: float, part: float) -> StepSettings:
    """The settings of a step that ends part of the way from the first loss to the target."""
    target = settings.target_loss
    if target is None or part == 1 or first >= target:
        return settings
    return replace(settings, target_loss=first + part * (target - first))


def _gradients(session: Session, forget: ForgetSet, mask: Mask, objective: ForgetObjective) -> Statistics:
    """What the model as it is now has of the forget examples, on the slices of a mask."""
    wanted = Wanted(wanted_slices(mask), mask_statistics=False)
    return statistics_of(
        session, forget.in_step, wanted, "forget gradients", loss=Ascended(session.task, objective)
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
