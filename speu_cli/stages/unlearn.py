"""``speu unlearn``: serve a request (Algorithm 1) and write the new model."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.write import (
    check_checkpoint_output,
    identify_as_stored,
    planned_files,
    write_checkpoint,
)
from speu_cli.data.columns import DataChoice
from speu_cli.errors import InputError
from speu_cli.masks.importance import Curvature
from speu_cli.masks.localization import MaskSettings, Objective, note_on_units
from speu_cli.stages.aimed.aims import require_losses
from speu_cli.stages.aimed.step import aimed_step
from speu_cli.stages.chosen_mask import (
    ChosenMask,
    mask_from_file,
    mask_of_ones,
    require_mask_of_slices,
)
from speu_cli.stages.chosen_recipe import choose_recipe
from speu_cli.stages.dampen import dampen
from speu_cli.stages.done import Done
from speu_cli.stages.request import (
    ForgetSet,
    open_forget_set,
    open_with_statistics,
    require_directions,
    require_mask_statistics,
    require_parameters,
)
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.second_order import second_order
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.structures.mask import KeyValue
from speu_cli.unlearning.dampening import DampeningSettings
from speu_cli.unlearning.forget_examples import ForgetExamples
from speu_cli.unlearning.recipes.presets import recipe_file
from speu_cli.unlearning.settings import StepSettings

SecondOrder = Literal["spe-so", "so"]
Method = Literal["spe-so", "so", "ssd"]

MAX_OVERSHOOT = 2.0


@dataclass(frozen=True)
class UnlearnResult:
    """What was done, or with a dry run what would be.

    Attributes:
        output: The new checkpoint folder; None for a dry run without one.
        dry_run: Nothing was written.
        method: ``spe-so``, ``so`` or ``ssd``.
        objective: What the mask's units were chosen by; None for a mask of ones.
        within: How entries were chosen inside of them, or None.
        forget_examples: Size of D_f.
        examples_in_step: Those whose gradients entered the step.
        remaining_examples: n_r.
        rate: η; None with ``ssd``, which has none.
        rate_trials: Rates tried, the original model included.
        target_loss: Mean forget loss that was aimed at: that of unseen examples, or where each example has a
            target of its own, of these. None with a fixed rate and no held-out set.
        loss_before: Mean loss of D_f before.
        loss_after: Mean loss of D_f after.
        selected: Units that may change, of all units, by kind.
        parameters_changed: Parameter entries in the selected slices, or those chosen inside of them; with
            ``ssd`` those that were dampened.
        parameters_total: Parameter entries of the model.
        reads: Files that were read.
        writes: Names and sizes of the files of the new folder.
        recipe: How the step was made; None with ``ssd``.
        criterion: What a recipe found that checks its step, by name; empty of one that does not.
        note: Something worth knowing, or None.
        seconds: Time from the loaded model to the step.
    """

    output: Path | None
    dry_run: bool
    method: str
    objective: str | None
    within: str | None
    forget_examples: int
    examples_in_step: int
    remaining_examples: int
    rate: float | None
    rate_trials: int
    target_loss: float | None
    loss_before: float
    loss_after: float
    selected: dict[str, tuple[int, int]]
    parameters_changed: int
    parameters_total: int
    reads: list[str]
    writes: dict[str, int | None]
    recipe: str | None
    criterion: dict[str, float]
    note: str | None
    seconds: float


def unlearn(
    model: Path,
    fisher: Path,
    data: str,
    forget: str,
    output: Path | None,
    *,
    mask: Path | None = None,
    method: Method = "spe-so",
    sparsity: float = 0.9,
    kinds: str = "both",
    curvature: Curvature = "total",
    rounds: int | None = None,
    kv: KeyValue = "any",
    objective: Objective = "mlr",
    within: str | None = None,
    ssd_alpha: float = 10.0,
    ssd_lambda: float = 1.0,
    rate: float | None = None,
    target_loss: float | None = None,
    max_overshoot: float | None = None,
    recipe: str | Path | None = None,
    holdout: str | None = None,
    damping: float | None = None,
    forget_examples: ForgetExamples | None = None,
    hold_directions: float | None = None,
    dry_run: bool = False,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> UnlearnResult:
    """Make a model forget examples: a second-order step on the units that matter (Eq. 10), or dampening.

    Args:
        model: Folder of the checkpoint.
        fisher: Statistics file of its training set: of whole parameters, or of the slices of ``mask``.
        data: The training set; the model reads the forget set, and with ``default`` some remaining examples.
        forget: Id list of the forget set.
        output: Checkpoint folder to write; may be None for a dry run.
        mask: Mask file. Default: the mask is made from this request.
        method: ``spe-so``; ``so`` with a mask of ones (Eq. 2); or ``ssd``, selective synaptic dampening of
            all that the statistics hold, or of the slices of ``mask``.
        sparsity: Of a mask made here.
        kinds: Of a mask made here.
        curvature: Of a mask made here.
        rounds: Of a mask made here.
        kv: Of a mask made here.
        objective: Of a mask made here.
        within: Of a mask made here.
        ssd_alpha: α of ``ssd``.
        ssd_lambda: λ of ``ssd``.
        rate: η. Default: the one at which the forget set looks unseen.
        target_loss: Mean loss that unseen examples have. Default: that of the statistics' held-out set.
        max_overshoot: Refuse a step that takes the forget loss past this multiple of the target. Default: 2.
        recipe: How the step is made: ``default``, ``paper``, or a TOML file. Default: ``default``; ``paper``
            if one of ``rate``, ``target_loss``, ``max_overshoot``, ``forget_examples`` and
            ``hold_directions`` is given, which only its step has.
        holdout: Unseen examples, which should be answered as well as before, and which a recipe may follow.
            Default: they are not looked at.
        damping: λ of each parameter tensor, as a multiple of its mean curvature; of that of its slices, if
            the statistics hold no more. Default: as the recipe says.
        forget_examples: ``all`` or ``remembered``: whose gradients enter the step. Default: as the recipe
            says.
        hold_directions: How fast the coherent directions of the statistics are held: a step moves along a
            lone one 1 + this times less, not at all with ``math.inf``. Default: they are not looked at.
        dry_run: Do everything but write.
        choice: Columns, split, task and length; must agree with the statistics.
        runtime: Device, batch size, overwriting, progress.

    Returns:
        What was done.

    Raises:
        InputError: Settings that contradict each other or are out of range.
    """
    runtime = runtime or Runtime()
    mask_settings = MaskSettings(sparsity, kinds, curvature, rounds, kv, objective, within)
    of_one_direction = {
        "--rate": rate,
        "--target-loss": target_loss,
        "--max-overshoot": max_overshoot,
        "--forget-examples": forget_examples,
        "--hold-directions": hold_directions,
    }
    _check_request(output, mask, method, dry_run=dry_run)
    if method == "ssd":
        only = {"--rate": rate, "--hold-directions": hold_directions}
        _refuse_for_dampening({"--recipe": recipe, "--holdout": holdout, "--damping": damping, **only})
        chosen_recipe = None
    else:
        chosen_recipe = choose_recipe(recipe, damping, holdout, of_one_direction)
    read = (model, fisher, data, forget, mask, holdout, None if recipe is None else recipe_file(recipe))
    if output is not None and not dry_run:
        check_checkpoint_output(output, force=runtime.force, inputs=read)
    session, file = open_with_statistics(model, fisher, choice or DataChoice(), runtime)
    require_parameters(file, fisher)
    given = _given_mask(session, mask, method)
    require_mask_of_slices(given, mask, file, fisher)
    if given is None and method != "ssd" and mask_settings.needs_mask_statistics:
        require_mask_statistics(file, fisher)
        mask_settings.kinds_of(session.layout)  # refused before any example is read
    unseen = target_loss if target_loss is not None else file.unseen_loss
    enters = forget_examples or (chosen_recipe.examples if chosen_recipe else "all")
    overshoot = MAX_OVERSHOOT if max_overshoot is None else max_overshoot
    serve: Callable[[Session, StatisticsFile, ForgetSet, ChosenMask | None], Done]
    if chosen_recipe is None:
        dampening = DampeningSettings(ssd_alpha, ssd_lambda, unseen, overshoot, enters)
        serve = partial(dampen, settings=dampening)
    elif chosen_recipe.target == "each":
        require_losses(file, chosen_recipe)
        serve = partial(aimed_step, mask_settings=mask_settings, recipe=chosen_recipe, holdout=holdout)
    else:
        held = chosen_recipe.hold_directions if hold_directions is None else hold_directions
        if held is not None:
            require_directions(file, fisher)
        step = StepSettings(chosen_recipe.damping, rate, unseen, overshoot, enters, held)
        serve = partial(second_order, mask_settings=mask_settings, settings=step, recipe=chosen_recipe)

    started = time.perf_counter()
    forget_set = open_forget_set(session, file, data, forget, forget_examples=enters, unseen_loss=unseen)
    done = serve(session, file, forget_set, given)
    seconds = time.perf_counter() - started

    chosen = done.chosen
    if output is not None and not dry_run:
        record = _record(session, file, forget_set, method, done)
        write_checkpoint(session.checkpoint, output, record, force=runtime.force, extra=chosen.write)
    return UnlearnResult(
        output=output,
        dry_run=dry_run,
        method=method,
        objective=chosen.settings["objective"] if chosen.settings else None,
        within=chosen.settings["within"] if chosen.settings else None,
        forget_examples=len(forget_set.encoded),
        examples_in_step=done.in_step,
        remaining_examples=done.remaining,
        rate=done.rate.value if done.rate else None,
        rate_trials=len(done.rate.trials) if done.rate else 0,
        target_loss=unseen if done.target is None else done.target,
        loss_before=float(forget_set.losses.mean()),
        loss_after=done.loss,
        selected=chosen.mask.counts(),
        parameters_changed=done.entries,
        parameters_total=sum(parameter.numel() for parameter in session.checkpoint.model.parameters()),
        reads=[str(path) for path in read if path is not None],
        writes=planned_files(session.checkpoint, chosen.files),
        recipe=chosen_recipe.name if chosen_recipe else None,
        criterion={check.name: check.value for check in done.checks},
        note=_note(session, done),
        seconds=seconds,
    )


def _note(session: Session, done: Done) -> str | None:
    """What is worth knowing of a step; of units that are not served unless they were not asked for."""
    settings = done.chosen.settings
    asked_for_all = settings is None or settings.get("kinds") == "both"
    notes = [note_on_units(session.layout) if asked_for_all else None, done.note]
    return "; ".join(filter(None, notes)) or None


def _check_request(output: Path | None, mask: Path | None, method: Method, *, dry_run: bool) -> None:
    """Refuse what cannot be served, before anything is loaded.

    Raises:
        InputError: No output, an unknown method, or a mask for a method that takes none.
    """
    if method not in get_args(Method):
        raise InputError(f"no method '{method}', expected one of {', '.join(get_args(Method))}")
    if mask is not None and method == "so":
        raise InputError("method 'so' updates every unit, so it takes no --mask", hint="use --method spe-so")
    if output is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")


def _refuse_for_dampening(of_a_step: Mapping[str, object]) -> None:
    """Refuse options that a method without a step does not have.

    Raises:
        InputError: One was given.
    """
    odd = [option for option, value in of_a_step.items() if value is not None]
    if odd:
        raise InputError(
            f"method 'ssd' takes no step, so it has no {odd[0]}", hint="see --ssd-alpha and --ssd-lambda"
        )


def _given_mask(session: Session, mask: Path | None, method: Method) -> ChosenMask | None:
    """The mask that is known before the request; None if it is to be made from it."""
    if method == "so":
        return mask_of_ones(session)
    return None if mask is None else mask_from_file(session, mask)


def _record(
    session: Session,
    file: StatisticsFile,
    forget: ForgetSet,
    method: Method,
    done: Done,
) -> dict[str, Any]:
    """What was done, as JSON values, with the identities of the models before and after."""
    return {
        "format": "speu",
        "version": FORMAT_VERSION,
        "kind": "unlearning",
        "model_before": asdict(session.checkpoint.identity),
        "model_after": asdict(identify_as_stored(session.checkpoint)),
        "inputs": {"statistics": file.digest, "mask": done.chosen.digest},
        "forget": forget.record,
        "examples_in_step": done.in_step,
        "remaining": done.remaining,
        "method": method,
        "step": done.settings,
        "mask": done.chosen.settings,
        "selected": done.chosen.mask.counts(),
        "parameters_changed": done.entries,
        "rate": done.rate.value if done.rate else None,
        "loss_before": float(forget.losses.mean()),
        "loss_after": done.loss,
        "encoding": file.settings.to_record(),
        "versions": library_versions(),
    }
