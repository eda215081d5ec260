"""``speu unlearn --method ft|sa|ga|gd|npo|dpo``: forget by training, all parameters or a mask's slices."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import transformers

from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.write import (
    check_checkpoint_output,
    identify_as_stored,
    planned_files,
    write_checkpoint,
)
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.errors import InputError, UnsafeStepError
from speu_cli.stages.request import open_with_statistics, training_rows
from speu_cli.stages.runtime import Runtime, require_first_device
from speu_cli.stages.session import Session, open_session
from speu_cli.stages.training_plan import (
    Plan,
    check_files,
    mask_of_slices,
    planned_course,
    require_target,
    size_of_model,
)
from speu_cli.stages.training_sets import RequestSets, check_reference_output, open_sets, settle_reference
from speu_cli.statistics.files import StatisticsFile
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.outcomes import losses
from speu_cli.unlearning.learning import Course, Sets, learn
from speu_cli.unlearning.objectives.registry import ObjectiveChoice, TrainingMethod, make_objective
from speu_cli.unlearning.other_answers import read_answers
from speu_cli.unlearning.reference import Reference
from speu_cli.unlearning.training import MAX_GRADIENT_NORM, Place, TrainingSettings
from speu_cli.unlearning.training_choice import TrainingChoice

# Times the target: past it the model is told to be damaged, as a second-order step would be refused.
FAR_PAST = 2.0


@dataclass(frozen=True)
class TrainUnlearnResult:
    """What was done, or with a dry run what would be.

    Attributes:
        output: The new checkpoint folder; None for a dry run without one.
        dry_run: Nothing was trained or written.
        method: Name of the method.
        forget_examples: n_f.
        remaining_examples: n_r.
        epochs: Passes that were asked for.
        learning_rate: At the start.
        steps: Of the optimiser; with a dry run those of all epochs.
        stopped: It ended before the last epoch, for the forget set looked unseen.
        target_loss: Mean loss of unseen examples, where it is known.
        loss_before: Mean loss of D_f before.
        loss_after: Mean loss of D_f after; None with a dry run.
        selected: Units that may change, of all units, by kind; None where every parameter may.
        parameters_changed: Parameter entries that were trained.
        parameters_total: Parameter entries of the model.
        reads: Files that were read.
        writes: Names and sizes of the files of the new folder.
        note: Something worth knowing, or None.
        seconds: Time of the training.
    """

    output: Path | None
    dry_run: bool
    method: str
    forget_examples: int
    remaining_examples: int
    epochs: float
    learning_rate: float
    steps: int
    stopped: bool
    target_loss: float | None
    loss_before: float
    loss_after: float | None
    selected: dict[str, tuple[int, int]] | None
    parameters_changed: int
    parameters_total: int
    reads: list[str]
    writes: dict[str, int | None]
    note: str | None
    seconds: float


def train_unlearn(
    model: Path,
    data: str,
    forget: str,
    output: Path | None,
    *,
    method: TrainingMethod,
    mask: Path | None = None,
    fisher: Path | None = None,
    objective: ObjectiveChoice | None = None,
    training: TrainingChoice | None = None,
    reference: Path | None = None,
    answers: Path | None = None,
    target_loss: float | None = None,
    stop_when_unseen: bool = False,
    dry_run: bool = False,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> TrainUnlearnResult:
    """Make a model forget examples by training it.

    Args:
        model: Folder of the checkpoint.
        data: The training set.
        forget: Id list of the forget set.
        output: Checkpoint folder to write; may be None for a dry run.
        method: Which objective.
        mask: Mask file: only the slices of its units are trained. Default: all parameters are.
        fisher: Statistics file of the training set; tells what unseen examples look like, and nothing else.
        objective: Settings of the objective.
        training: Settings of the training.
        reference: Log-likelihoods under the original model for NPO and DPO: they are read, or written if
            there is no such file.
        answers: Other answers for DPO, one a line. Default: the package's own.
        target_loss: Mean loss that unseen examples have. Default: that of the statistics' held-out set.
        stop_when_unseen: End as soon as the forget set's mean loss is at the target.
        dry_run: Tell what would be done.
        choice: Columns, split, task and length, where they should not be found.
        runtime: Device, batch size of forward passes, overwriting, progress.

    Returns:
        What was done.

    Raises:
        InputError: There is neither an output nor a dry run.
    """
    runtime = runtime or Runtime()
    wanted = make_objective(method, objective or ObjectiveChoice())
    settings = (training or TrainingChoice()).settings(masked=mask is not None)
    check_files(wanted, method, reference, answers)
    if output is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")
    require_first_device(runtime.device)
    inputs = (model, fisher, data, forget, mask, reference, answers)
    if output is not None and not dry_run:
        check_checkpoint_output(output, force=runtime.force, inputs=inputs)
    check_reference_output(reference)
    session, examples, file = _open(model, fisher, data, choice or DataChoice(), runtime)
    sets = open_sets(session, examples, forget, wanted, None if answers is None else read_answers(answers))
    chosen = None if mask is None else mask_of_slices(session, mask)
    target = target_loss if target_loss is not None or file is None else file.unseen_loss
    plan = Plan(
        method, wanted, settings, chosen, require_target(target, stop=stop_when_unseen), stop_when_unseen
    )

    encoded = sets.encode(session, wanted)
    before = _forget_loss(session, encoded["forget"])
    known = Reference({})
    if wanted.with_reference:
        known = settle_reference(session, sets, encoded, reference, write=not dry_run)
    unseen_already = plan.stop and target is not None and before >= target
    started = time.perf_counter()
    course = planned_course(session, plan, sum(len(encoded[name]) for name in wanted.over))
    if unseen_already:
        course = Course(0, course.trained, stopped=True)
    elif not dry_run:
        course = learn(
            session.checkpoint.model,
            Sets(session.task, encoded, known.values),
            wanted,
            settings,
            mask=None if chosen is None else chosen.mask,
            stop=_stop(session, encoded["forget"], target) if plan.stop else None,
            place=Place(runtime.device, runtime.progress),
        )
    seconds = time.perf_counter() - started
    after = None if dry_run else _finite(_forget_loss(session, encoded["forget"]), settings)

    if output is not None and not dry_run:
        record = _record(session, plan, sets, course) | {
            "inputs": {
                "statistics": None if file is None else file.digest,
                "mask": None if chosen is None else chosen.digest,
                "reference": known.digest,
            },
            "answers": sets.answers_digest,
            "loss_before": before,
            "loss_after": after,
        }
        extra = None if chosen is None else chosen.write
        write_checkpoint(session.checkpoint, output, record, force=runtime.force, extra=extra)
    return TrainUnlearnResult(
        output=output,
        dry_run=dry_run,
        method=method,
        forget_examples=len(sets.forgotten),
        remaining_examples=len(sets.remaining),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        steps=course.steps,
        stopped=course.stopped,
        target_loss=target,
        loss_before=before,
        loss_after=after,
        selected=None if chosen is None else chosen.mask.counts(),
        parameters_changed=course.trained,
        parameters_total=size_of_model(session),
        reads=[str(path) for path in inputs if path is not None],
        writes=planned_files(session.checkpoint, [] if chosen is None else chosen.files),
        note=_note(unseen_already, after, target),
        seconds=seconds,
    )


def _open(
    model: Path, fisher: Path | None, data: str, choice: DataChoice, runtime: Runtime
) -> tuple[Session, Examples, StatisticsFile | None]:
    """The model, its training set, and the statistics of it if there are any."""
    if fisher is None:
        session = open_session(model, choice, runtime)
        return session, session.read(data), None
    session, file = open_with_statistics(model, fisher, choice, runtime)
    return session, training_rows(session.read(data), file), file


def _forget_loss(session: Session, forget: Encoded) -> float:
    return float(session.losses(forget, "forget losses").mean())


def _stop(session: Session, forget: Encoded, target: float | None) -> Callable[[], bool]:
    """Whether the forget set looks unseen; tells no progress, for that of the training is under way."""

    def reached() -> bool:
        model, task = session.checkpoint.model, session.task
        found = losses(model, task, forget, batch_tokens=session.runtime.batch_tokens)
        return target is not None and float(found.mean()) >= target

    return reached


def _finite(loss: float, settings: TrainingSettings) -> float:
    """Refuse a model that the training broke.

    Args:
        loss: Mean loss of the forget set after it.
        settings: How it was trained.

    Returns:
        The loss.

    Raises:
        UnsafeStepError: It is not finite.
    """
    if not math.isfinite(loss):
        raise UnsafeStepError(
            f"training diverged: the forget loss after it is {loss}",
            hint=f"lower the learning rate, which was {settings.learning_rate:g}",
        )
    return loss


def _record(session: Session, plan: Plan, sets: RequestSets, course: Course) -> dict[str, Any]:
    """What was done, as JSON values, with the identities of the models before and after."""
    chosen = plan.mask
    mask_settings = None if chosen is None else chosen.settings
    return {
        "format": "speu",
        "version": FORMAT_VERSION,
        "kind": "unlearning",
        "model_before": asdict(session.checkpoint.identity),
        "model_after": asdict(identify_as_stored(session.checkpoint)),
        "forget": sets.forget_record,
        "remaining": len(sets.remaining),
        "method": plan.method,
        "objective": dict(vars(plan.objective)),
        "training": asdict(plan.settings) | {"optimizer": "AdamW", "max_gradient_norm": MAX_GRADIENT_NORM},
        "steps": course.steps,
        "stopped": course.stopped,
        "target_loss": plan.target,
        "stop_when_unseen": plan.stop,
        "mask": mask_settings,
        "selected": None if chosen is None else chosen.mask.counts(),
        "parameters_changed": course.trained,
        "encoding": session.settings(sets.forgotten).to_record(),
        "versions": library_versions() | {"transformers": transformers.__version__},
    }


def _note(unseen_already: bool, after: float | None, target: float | None) -> str | None:
    if unseen_already:
        return "the forget set looks unseen already: the model is left as it was"
    if after is not None and target is not None and after > FAR_PAST * target:
        return (
            f"the forget loss ends at {after:.4g}, more than {FAR_PAST:g} times the target: the model may be "
            "damaged; lower --learning-rate, train for fewer --epochs, or with --stop-when-unseen"
        )
    return None
