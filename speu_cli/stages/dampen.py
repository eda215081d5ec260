"""Selective synaptic dampening of a request's forget set, from the statistics that other methods take."""

from speu_cli.stages.chosen_mask import ChosenMask, mask_of_ones
from speu_cli.stages.done import Done
from speu_cli.stages.request import ForgetSet, statistics_of
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.statistics.wanted import Part, Wanted, wanted_slices
from speu_cli.unlearning.dampening import DampeningSettings, dampening
from speu_cli.unlearning.rate import check_step

GENTLER = "raise --ssd-alpha or --ssd-lambda"


def dampen(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    settings: DampeningSettings,
) -> Done:
    """Dampen what matters to the forget set above all, in memory.

    Args:
        session: The model; it is changed.
        file: Statistics of the training set; only F and n_D are used.
        forget: The forget set.
        given: A mask that nothing outside of is changed. Default: all that there are statistics of.
        settings: α, λ, and how far the forget loss may rise.

    Returns:
        What was done.
    """
    parameters: dict[str, Part | None] = dict.fromkeys(file.statistics.fisher)
    if given is not None:
        slices = wanted_slices(given.mask)
        parameters = slices if file.collected.mask is not None else dict.fromkeys(slices)
    wanted = Wanted(parameters, mask_statistics=False)
    of_forget = statistics_of(session, forget.in_step, wanted)
    found = dampening(of_forget, file.statistics, given.mask if given else None, settings)
    found.apply(session.checkpoint.model)
    loss = float(session.losses(forget.encoded, "dampened losses").mean())
    check_step(loss, settings.target_loss, settings.max_overshoot, gentler=GENTLER)
    scope = "mask" if given else file.collected.scope
    return Done(
        chosen=given or mask_of_ones(session),
        settings=settings.record() | {"scope": scope},
        in_step=of_forget.count,
        remaining=forget.remaining,
        entries=found.size,
        rate=None,
        loss=loss,
        note=None if found.size else "nothing stands out for the forget set: the model is left as it was",
    )
