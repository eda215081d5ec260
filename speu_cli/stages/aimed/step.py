"""The second-order step of a recipe that gives each forgotten example a target of its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from speu_cli.errors import NotFiniteError, UnsafeStepError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.aimed.acceptance import UNSEEN, Acceptance
from speu_cli.stages.aimed.aiming import aiming_of, unseen_of
from speu_cli.stages.aimed.aims import Aims
from speu_cli.stages.aimed.samples import draw_samples
from speu_cli.stages.aimed.steps import Steps, Taken
from speu_cli.stages.chosen_mask import ChosenMask, mask_of_request
from speu_cli.stages.done import Done
from speu_cli.stages.request import ForgetSet, open_request
from speu_cli.stages.second_order import wanted_of_step
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.criterion import Check
from speu_cli.unlearning.recipes.recipe import Recipe
from speu_cli.unlearning.undo import saved_slices


def aimed_step(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    given: ChosenMask | None,
    mask_settings: MaskSettings,
    recipe: Recipe,
    holdout: str | None = None,
) -> Done:
    """Move each forgotten example to what it would be known like unseen, in memory.

    The ways of the recipe are tried in turn, until the model meets the criterion.

    Args:
        session: The model; it is moved.
        file: Statistics of the training set, with the losses of its examples and of held-out ones.
        forget: The forget set.
        given: The mask; None if it is to be made.
        mask_settings: How it is made then.
        recipe: How the steps are made.
        holdout: Unseen examples, which should be answered as before, and which the recipe may follow.
            Default: they are not looked at.

    Returns:
        What was done.
    """
    aiming = aiming_of(session, file, forget, recipe.dropout_passes)
    aims = aiming.at(unseen_of(file, aiming))
    unseen = {UNSEEN: session.encode(session.read_like(forget.training, holdout))} if holdout else {}
    wanted = wanted_of_step(session, file, forget, given, mask_settings)
    request = open_request(session, file, forget, wanted)
    chosen = given or mask_of_request(session, request, mask_settings, file.digest)
    samples = draw_samples(session, forget, recipe)
    others = {"remaining": samples.checked, **unseen}
    acceptance = Acceptance(session, forget, others, recipe.width)
    may_follow = _may_follow(session, recipe, len(unseen.get(UNSEEN, ())), len(file.holdout_losses))

    def take(way: Recipe) -> Taken:
        def aims_at_present() -> Aims:
            return aiming.at_present(unseen[UNSEEN]).of(way, session.task)

        start = _margins_before(session, file, forget, samples.may_be_held(way.drawn))
        steps = Steps(session, samples, request.remaining, chosen.mask, way)
        return steps.take(aims.of(way, session.task), start, aims_at_present if way.follow else None)

    done = _first_accepted(_ways(recipe, may_follow), chosen.mask, acceptance, take)
    loss = float(session.losses(forget.encoded, "forget losses").mean())
    return Done(
        chosen=chosen,
        settings={
            "recipe": recipe.record(),
            "way": done.way.record(),
            "damping_mean": "slices" if file.collected.mask else "tensor",
            "criterion": {check.name: check.value for check in done.checks},
        },
        in_step=int((done.taken.aims.margins < session.task.margins.of(forget.losses)).sum()),
        remaining=request.remaining.count,
        entries=done.taken.entries,
        rate=None,
        loss=loss,
        note=f"not met at first: {'; '.join(done.failed)}" if done.failed else None,
        target=float(session.task.margins.losses(done.taken.aims.margins).mean()),
        checks=done.checks,
    )


def _may_follow(session: Session, recipe: Recipe, given: int, known: int) -> bool:
    """Whether there are as many held-out examples as the statistics know; who gave fewer is told."""
    if 0 < given < known and any(way.follow for way in recipe.ways()):
        session.runtime.progress.note(
            f"--holdout has {given:,} examples, fewer than the {known:,} of the statistics: targets stay "
            "where held-out examples were before the request"
        )
    return given >= known


def _margins_before(session: Session, file: StatisticsFile, forget: ForgetSet, held: Encoded) -> Floats:
    """How well examples are known before any step: the statistics tell, mostly."""
    losses = file.losses_of(forget.training.positions(held.ids))
    if losses is None:
        losses = session.losses(held, "losses of what is held")
    return session.task.margins.of(losses)


@dataclass(frozen=True)
class _Accepted:
    """A way whose model meets the criterion."""

    way: Recipe
    taken: Taken
    checks: list[Check]
    failed: list[str]


def _ways(recipe: Recipe, may_follow: bool) -> Iterator[Recipe]:
    """The ways of a recipe, each once: where there is nothing to follow some are the same."""
    taken: list[Recipe] = []
    for one in recipe.ways():
        way = one if may_follow else replace(one, follow=False)
        alike = replace(way, name="", otherwise=())
        if alike not in taken:
            taken.append(alike)
            yield way


def _first_accepted(
    ways: Iterable[Recipe], mask: Mask, acceptance: Acceptance, take: Callable[[Recipe], Taken]
) -> _Accepted:
    """Try ways in turn, each from the original weights.

    Args:
        ways: Of a recipe.
        mask: What moves.
        acceptance: The criterion.
        take: Takes the steps of a way.

    Returns:
        The first whose model meets the criterion; the model is left so.

    Raises:
        UnsafeStepError: None does; the model is as it was.
    """
    failed: list[str] = []
    for way in ways:
        with saved_slices(acceptance.session.checkpoint.model, mask) as saved:
            try:
                taken = take(way)
                checks = acceptance.checks(taken.aims.margins)
            except NotFiniteError as error:  # a step so long that nothing is left of the model
                odd = [str(error)]
            else:
                odd = [str(check) for check in checks if not check.met]
                if not odd:
                    saved.keep()
                    return _Accepted(way, taken, checks, failed)
        failed.append(f"{way.name}: {'; '.join(odd)}")
    raise UnsafeStepError(
        f"no way of the recipe meets the criterion: {' | '.join(failed)}",
        hint="retrain or forget fewer at once; --recipe FILE with a larger width lets more change",
    )
