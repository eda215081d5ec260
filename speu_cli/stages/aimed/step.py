"""The second-order step of a recipe that gives each forgotten example a target of its own."""

from typing import Any

from speu_cli.data.examples import Examples
from speu_cli.errors import UnsafeStepError
from speu_cli.masks.localization import MaskSettings
from speu_cli.stages.aimed.acceptance import Acceptance
from speu_cli.stages.aimed.aims import aims_of
from speu_cli.stages.aimed.samples import draw_samples
from speu_cli.stages.aimed.steps import Steps
from speu_cli.stages.chosen_mask import ChosenMask, mask_of_request
from speu_cli.stages.done import Done
from speu_cli.stages.request import ForgetSet, open_request
from speu_cli.stages.second_order import wanted_of_step
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
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
    unseen: Examples | None = None,
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
        unseen: Held-out examples, which should be answered as before. Default: they are not looked at.

    Returns:
        What was done.

    Raises:
        UnsafeStepError: No way of the recipe leaves a model that meets the criterion.
    """
    aims = aims_of(session, file, forget, recipe)
    wanted = wanted_of_step(session, file, forget, given, mask_settings)
    request = open_request(session, file, forget, wanted)
    chosen = given or mask_of_request(session, request, mask_settings, file.digest)
    samples = draw_samples(session, forget, recipe.most_held, recipe.checked)
    others = {"remaining": samples.checked} | ({"heldout": session.encode(unseen)} if unseen else {})
    acceptance = Acceptance(session, forget, aims, others, recipe.width)
    failed: list[str] = []
    for way in recipe.ways():
        with saved_slices(session.checkpoint.model, chosen.mask) as saved:
            entries = Steps(session, samples.with_held(way.held), request.remaining, chosen.mask, way).take(
                aims
            )
            checks = acceptance.checks()
            odd = [str(check) for check in checks if not check.met]
            if not odd:
                saved.keep()
                break
        failed.append(f"{way.name}: {'; '.join(odd)}")
    else:
        raise UnsafeStepError(
            f"no way of the recipe meets the criterion: {failed[-1]}",
            hint="retrain or forget fewer at once; --recipe FILE with a larger width lets more change",
        )
    loss = float(session.losses(forget.encoded, "forget losses").mean())
    return Done(
        chosen=chosen,
        settings=_record(recipe, way, checks, damping_mean="slices" if file.collected.mask else "tensor"),
        in_step=int((aims < session.task.margins.of(forget.losses)).sum()),
        remaining=request.remaining.count,
        entries=entries,
        rate=None,
        loss=loss,
        note=f"not met at first: {'; '.join(failed)}" if failed else None,
        checks=checks,
    )


def _record(recipe: Recipe, way: Recipe, checks: list[Check], *, damping_mean: str) -> dict[str, Any]:
    """How it was done, as JSON values."""
    return {
        "recipe": recipe.record(),
        "way": way.record(),
        "damping_mean": damping_mean,
        "criterion": {check.name: check.value for check in checks},
    }
