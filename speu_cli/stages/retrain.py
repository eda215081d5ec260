"""``speu unlearn --method retrain``: fine-tune the base model again, without the forget set (Eq. 1)."""

import json
import math
import tempfile
import time
from pathlib import Path

from speu_cli.checkpoints.write import check_checkpoint_output, planned_files, read_record
from speu_cli.data.columns import DataChoice
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.runtime import Runtime, require_first_device
from speu_cli.stages.session import open_session
from speu_cli.stages.train import train
from speu_cli.stages.train_unlearn import TrainUnlearnResult
from speu_cli.stages.training_plan import size_of_model
from speu_cli.unlearning.training import TrainingSettings
from speu_cli.unlearning.training_choice import TrainingChoice

METHOD = "retrain"


def retrain(
    model: Path,
    base: Path,
    data: str,
    forget: str,
    output: Path | None,
    *,
    training: TrainingChoice | None = None,
    dry_run: bool = False,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> TrainUnlearnResult:
    """Make what unlearning approximates: ``speu train BASE --exclude``, as the model at hand was trained.

    Args:
        model: Folder of the fine-tuned model: tells the task, the encoding and how it was trained.
        base: Folder of the pretrained model that it was made from.
        data: The training set.
        forget: Id list of the forget set.
        output: Checkpoint folder to write; may be None for a dry run.
        training: Settings of the training. Default: those recorded with the model, else ``speu train``'s.
        dry_run: Tell what would be done.
        choice: Columns, split, task and length, where they should not be found.
        runtime: Device, overwriting, progress.

    Returns:
        What was done.

    Raises:
        InputError: There is neither an output nor a dry run.
    """
    runtime = runtime or Runtime()
    if output is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")
    require_first_device(runtime.device)
    if output is not None and not dry_run:
        check_checkpoint_output(output, force=runtime.force, inputs=(model, base, data, forget))
    settings = (training or TrainingChoice()).over(_recorded_settings(model))
    session = open_session(model, choice or DataChoice(), runtime)
    ids = read_ids(forget)
    forgotten, remaining = forget_and_remaining(session.read(data), ids, forget)
    encoded = session.encode(forgotten)
    before = float(session.losses(encoded, "forget losses").mean())
    steps = math.ceil(settings.epochs * -(-len(remaining) // settings.batch_size))
    after, started = None, time.perf_counter()
    if output is not None and not dry_run:
        with tempfile.TemporaryDirectory() as folder:  # standard input can be read only once
            exclude = Path(folder, "ids.json")
            exclude.write_text(json.dumps(ids), encoding="utf-8")
            steps = train(
                base,
                data,
                output,
                exclude=str(exclude),
                epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                batch_size=settings.batch_size,
                weight_decay=settings.weight_decay,
                schedule=settings.schedule,
                num_labels=session.checkpoint.model.config.num_labels,
                seed=settings.seed,
                choice=session.choice,
                runtime=runtime,
            ).steps
        new = open_session(output, session.choice, runtime)
        after = float(new.losses(new.encode(forgotten), "forget losses").mean())
    total = size_of_model(session)
    return TrainUnlearnResult(
        output=output,
        dry_run=dry_run,
        method=METHOD,
        forget_examples=len(forgotten),
        remaining_examples=len(remaining),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        steps=steps,
        stopped=False,
        target_loss=None,
        loss_before=before,
        loss_after=after,
        selected=None,
        parameters_changed=total,
        parameters_total=total,
        reads=[str(path) for path in (model, base, data, forget)],
        writes=planned_files(session.checkpoint),
        note=None,
        seconds=time.perf_counter() - started,
    )


def _recorded_settings(model: Path) -> TrainingSettings:
    """How ``speu train`` made a model; its defaults if another tool did.

    Args:
        model: The checkpoint folder.

    Returns:
        The settings, but for the seed.

    Raises:
        ArtifactError: The model's record is not readable.
    """
    record = read_record(model) or {}
    if record.get("kind") != "training":
        return TrainingSettings()
    try:
        recorded = record["training"]
        return TrainingSettings(
            epochs=float(recorded["epochs"]),
            learning_rate=float(recorded["learning_rate"]),
            batch_size=int(recorded["batch_size"]),
            weight_decay=float(recorded["weight_decay"]),
            schedule="constant" if recorded["schedule"] == "constant" else "linear",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"the training settings recorded in {model} are not readable: {error!r}"
        ) from error
