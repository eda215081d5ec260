"""What a training-based method is going to do, settled before anything is trained."""

import math
from dataclasses import dataclass
from pathlib import Path

from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.chosen_mask import ChosenMask, mask_from_file
from speu_cli.stages.session import Session
from speu_cli.unlearning.learning import Course
from speu_cli.unlearning.objectives.base import Objective
from speu_cli.unlearning.slices import pieces_of
from speu_cli.unlearning.training import TrainingSettings


@dataclass(frozen=True)
class Plan:
    """How a method is run.

    Attributes:
        method: Its name.
        objective: What it minimises.
        settings: How it trains.
        mask: The units that may change; None: every parameter.
        target: Mean loss of unseen examples, where it is known.
        stop: End when the forget set's mean loss reaches the target.
    """

    method: str
    objective: Objective
    settings: TrainingSettings
    mask: ChosenMask | None
    target: float | None
    stop: bool


def check_files(objective: Objective, method: str, reference: Path | None, answers: Path | None) -> None:
    """Refuse files that a method does not read.

    Raises:
        InputError: One was given.
    """
    if reference is not None and not objective.with_reference:
        raise InputError(f"method '{method}' compares with no original model, so it takes no --reference")
    if answers is not None and "answers" not in objective.reads:
        raise InputError(f"method '{method}' teaches no other answers, so it takes no --answers")


def mask_of_slices(session: Session, path: Path) -> ChosenMask:
    """Read a mask to train within.

    Args:
        session: The model.
        path: The mask file.

    Returns:
        The mask.

    Raises:
        ArtifactError: It selects nothing at all.
    """
    chosen = mask_from_file(session, path)
    if not any(flags.any() for flags in chosen.mask.selected.values()):
        raise ArtifactError(f"{path} selects no unit, expected at least one to train")
    return chosen


def require_target(target: float | None, *, stop: bool) -> float | None:
    """Refuse a target that is no loss, or one that is needed and not known.

    Args:
        target: Mean loss of unseen examples, where it is known.
        stop: It is needed.

    Returns:
        The target.

    Raises:
        InputError: It is not above 0, or not known.
    """
    if target is not None and not (math.isfinite(target) and target > 0):
        raise InputError(f"--target-loss is {target}, expected above 0")
    if stop and target is None:
        raise InputError(
            "--stop-when-unseen: what unseen examples look like is not known",
            hint="give --target-loss, or --fisher with statistics of 'speu fisher --holdout'",
        )
    return target


def planned_course(session: Session, plan: Plan, examples: int) -> Course:
    """What a training of all epochs would do."""
    batches = -(-examples // plan.settings.batch_size)
    trained = size_of_model(session) if plan.mask is None else _size_of_slices(session, plan.mask)
    return Course(math.ceil(plan.settings.epochs * batches), trained, stopped=False)


def size_of_model(session: Session) -> int:
    """Number of parameter entries of the model."""
    return sum(parameter.numel() for parameter in session.checkpoint.model.parameters())


def _size_of_slices(session: Session, chosen: ChosenMask) -> int:
    pieces = pieces_of(chosen.mask, session.checkpoint.model)
    return sum(
        piece.take(session.checkpoint.model.get_parameter(name)).numel() for name, piece in pieces.items()
    )
