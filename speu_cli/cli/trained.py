"""``speu unlearn`` with a method that trains."""

from pathlib import Path
from typing import TYPE_CHECKING

from speu_cli.cli.options import DataOptions, RunOptions
from speu_cli.cli.output import Output
from speu_cli.cli.training_options import OBJECTIVES, RETRAIN, TrainingOptions
from speu_cli.errors import InputError
from speu_cli.wording import as_text, duration, part_of, size

if TYPE_CHECKING:
    from speu_cli.stages.train_unlearn import TrainUnlearnResult

OF_RETRAINING = ("epochs", "learning_rate", "batch_size", "weight_decay", "schedule", "seed", "base")


def forget_by_training(
    out: Output,
    method: str,
    inputs: tuple[Path, str, str],
    options: TrainingOptions,
    *,
    fisher: Path | None,
    mask: Path | None,
    target_loss: float | None,
    output: Path | None,
    dry_run: bool,
    choice: DataOptions,
    run: RunOptions,
    force: bool,
) -> None:
    """Run the method's stage and print what it did.

    Args:
        out: Where to print.
        method: Name of the method.
        inputs: Model, training set and id list.
        options: Those of the training.
        fisher: Statistics, for the loss of unseen examples.
        mask: The units whose slices are trained.
        target_loss: Mean loss of unseen examples.
        output: The new folder.
        dry_run: Whether nothing is trained or written.
        choice: How the examples are read.
        run: Where it runs.
        force: Whether an existing output may be replaced.
    """
    model, data, forget = inputs
    if method == RETRAIN:
        base = _base_of(options, {"fisher": fisher, "mask": mask, "target-loss": target_loss})
        with out.working(data) as progress:
            from speu_cli.stages.retrain import retrain

            result = retrain(
                model,
                base,
                data,
                forget,
                output,
                training=options.training(),
                dry_run=dry_run,
                choice=choice.choice(),
                runtime=run.runtime(progress, force=force),
            )
        _show(out, result)
        return
    if options.base is not None:
        options.refuse(f"method '{method}'", but=tuple(name for name in vars(options) if name != "base"))
    with out.working(data) as progress:
        from speu_cli.stages.train_unlearn import train_unlearn

        result = train_unlearn(
            model,
            data,
            forget,
            output,
            method=OBJECTIVES[method],
            mask=mask,
            fisher=fisher,
            objective=options.objective(),
            training=options.training(),
            reference=options.reference,
            answers=options.answers,
            target_loss=target_loss,
            stop_when_unseen=bool(options.stop_when_unseen),
            dry_run=dry_run,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _base_of(options: TrainingOptions, others: dict[str, object]) -> Path:
    """The model that retraining starts from.

    Args:
        options: Those of the training.
        others: Options of unlearning by their names; none may be given.

    Returns:
        The base.

    Raises:
        InputError: There is none, or an option that retraining does not take.
    """
    options.refuse(f"method '{RETRAIN}'", but=OF_RETRAINING)
    for name, value in others.items():
        if value is not None:
            raise InputError(f"method '{RETRAIN}' takes no --{name}: it trains the whole base model")
    if options.base is None:
        raise InputError(
            f"method '{RETRAIN}' needs --base, the pretrained model that MODEL was made from",
            hint="see speu unlearn --help",
        )
    return options.base


def _show(out: Output, result: "TrainUnlearnResult") -> None:
    """Print what was done, or would be."""
    if result.note is not None:
        out.note(result.note)
    if out.json:
        out.json_object(result)
        return
    target = "" if result.target_loss is None else f" (target {as_text(result.target_loss)})"
    after = "not trained" if result.loss_after is None else as_text(result.loss_after)
    facts: dict[str, object] = {
        "output": "nothing, this was a dry run" if result.dry_run else result.output,
        "method": result.method,
        "forget examples": result.forget_examples,
        "remaining examples": result.remaining_examples,
        "forget loss": f"{as_text(result.loss_before)} -> {after}{target}",
        "learning rate": result.learning_rate,
        "epochs": result.epochs,
        "steps": f"{result.steps:,}{', stopped early' if result.stopped else ''}",
    }
    facts |= {kind: part_of(*counts) for kind, counts in (result.selected or {}).items()}
    facts["parameters trained"] = part_of(result.parameters_changed, result.parameters_total)
    facts["time"] = duration(result.seconds)
    if result.dry_run:
        facts["would read"] = result.reads
        facts["would write"] = [
            name if count is None else f"{name} ({size(count)})" for name, count in result.writes.items()
        ]
    out.facts(facts)
