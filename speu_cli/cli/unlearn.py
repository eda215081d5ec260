"""``speu unlearn``: forget, and write the new checkpoint beside the old."""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import (
    CurvatureOption,
    DataOptions,
    ForceOption,
    ForgetOption,
    HoldDirectionsOption,
    KeyValueOption,
    KindsOption,
    ObjectiveOption,
    OptionalDampingOption,
    OptionalDataOption,
    OptionalFisherOption,
    OptionalForgetExamplesOption,
    OptionalMaxOvershootOption,
    OptionalModelArgument,
    RateOption,
    RecipeOption,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    SsdAlphaOption,
    SsdLambdaOption,
    TargetLossOption,
    WithinOption,
    of_input,
    of_output,
)
from speu_cli.cli.output import Output
from speu_cli.cli.serving import serve
from speu_cli.cli.trained import forget_by_training
from speu_cli.cli.training_options import STEP_METHODS, TrainingOptions, UnlearnMethodOption
from speu_cli.errors import InputError
from speu_cli.wording import as_text, duration, part_of, size

if TYPE_CHECKING:
    from speu_cli.stages.unlearn import UnlearnResult

EXAMPLES = """
  speu unlearn model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt \\
      --holdout dev.jsonl -o unlearned/
  speu unlearn model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt --dry-run
  speu unlearn model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt --recipe paper -o new/
  speu unlearn model/ --method npo --mask mask.safetensors --data train.jsonl --forget ids.txt -o unlearned/
  speu unlearn --state state/ --forget ids.txt --request-id R-2026-017 -o unlearned/
"""

SEE = "see speu unlearn --help"

# What a state settles for all its requests.
SETTLED = (
    *("fisher", "data", "mask", "method", "sparsity", "kinds", "curvature", "rounds", "kv"),
    *("objective", "within", "ssd_alpha", "ssd_lambda"),
    *("target_loss", "max_overshoot", "recipe", "holdout", "damping", "forget_examples", "hold_directions"),
)
# What only the second-order step has.
OF_A_STEP = (
    *("sparsity", "kinds", "curvature", "rounds", "kv", "objective", "within"),
    *("rate", "max_overshoot", "recipe", "holdout", "damping", "forget_examples", "hold_directions"),
    *("ssd_alpha", "ssd_lambda"),
)


def unlearn(
    *,
    model: OptionalModelArgument = None,
    fisher: OptionalFisherOption = None,
    data: OptionalDataOption = None,
    forget: ForgetOption,
    state: Annotated[
        Path | None,
        of_input(
            "--state",
            metavar="STATE",
            help="Serve the next request of a state from speu requests init, in place of --fisher and "
            "--data; how it is served was settled there, but for --rate. MODEL is needed only where the "
            "model that the request starts from was moved.",
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        of_input(
            "--request-id",
            metavar="NAME",
            show_default="the next number of the year",
            help="Names the request in the state's ledger; the same once more does nothing.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        of_input(
            "--mask",
            metavar="FILE",
            help="A mask from speu mask; without it one is made with --sparsity, --kinds, --rounds, --kv, "
            "--objective and --within.",
        ),
    ] = None,
    choice: DataOptions,
    method: UnlearnMethodOption = "spe-so",
    sparsity: SparsityOption = 0.9,
    kinds: KindsOption = "both",
    curvature: CurvatureOption = "total",
    rounds: RoundsOption = None,
    kv: KeyValueOption = "any",
    objective: ObjectiveOption = "mlr",
    within: WithinOption = None,
    ssd_alpha: SsdAlphaOption = 10.0,
    ssd_lambda: SsdLambdaOption = 1.0,
    rate: RateOption = None,
    target_loss: TargetLossOption = None,
    max_overshoot: OptionalMaxOvershootOption = None,
    recipe: RecipeOption = None,
    holdout: Annotated[
        str | None,
        of_input(
            "--holdout",
            metavar="SOURCE",
            help="Unseen examples, best those of speu fisher; with a recipe that checks its step they must "
            "be answered as before, and say where it ends.",
        ),
    ] = None,
    damping: OptionalDampingOption = None,
    forget_examples: OptionalForgetExamplesOption = None,
    hold_directions: HoldDirectionsOption = None,
    trained: TrainingOptions,
    output: Annotated[
        Path | None,
        of_output("--output", "-o", metavar="FOLDER", help="The new checkpoint; required unless --dry-run."),
    ] = None,
    dry_run: Annotated[
        bool, of_output("--dry-run", help="Tell what would be touched, read and written; write nothing.")
    ] = False,
    force: ForceOption = False,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Forget examples, and write a complete checkpoint into a new folder.

    By default a second-order step: only the chosen heads and filters change, all other parameters stay as
    they are, bit for bit. The curvature of the remaining training examples comes from the statistics; a
    sample of them is read, to hold them where they are and to check the result before it is written. The
    other methods train the model, or with --mask the slices of its units; they need no statistics.
    """
    given = dict(locals())
    _refuse_no_output(output, dry_run=dry_run)
    out = show.output()
    if state is not None:
        _refuse_what_is_settled(given, choice)
        trained.refuse("a request of a state")
        serve(
            out,
            state,
            forget,
            output,
            request_id=request_id,
            model=model,
            rate=rate,
            dry_run=dry_run,
            run=run,
            force=force,
        )
        return
    if method not in STEP_METHODS:
        _refuse_what_only_a_step_has(given, method)
        forget_by_training(
            out,
            method,
            _training_inputs(model, data, forget, request_id),
            trained,
            fisher=fisher,
            mask=mask,
            target_loss=target_loss,
            output=output,
            dry_run=dry_run,
            choice=choice,
            run=run,
            force=force,
        )
        return
    trained.refuse(f"method '{method}'")
    model, fisher, data = _named(model, fisher, data, request_id)
    with out.working(data) as progress:
        from speu_cli.stages.unlearn import unlearn as stage

        result = stage(
            model,
            fisher,
            data,
            forget,
            output,
            mask=mask,
            method=STEP_METHODS[method],
            sparsity=sparsity,
            kinds=kinds,
            curvature=curvature,
            rounds=rounds,
            kv=kv,
            objective=objective,
            within=within,
            ssd_alpha=ssd_alpha,
            ssd_lambda=ssd_lambda,
            rate=rate,
            target_loss=target_loss,
            max_overshoot=max_overshoot,
            recipe=recipe,
            holdout=holdout,
            damping=damping,
            forget_examples=forget_examples,
            hold_directions=hold_directions,
            dry_run=dry_run,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _refuse_no_output(output: Path | None, *, dry_run: bool) -> None:
    """Refuse a run that would have nowhere to write.

    Raises:
        InputError: There is no output, and this is no dry run.
    """
    if output is None and not dry_run:
        raise InputError("missing option '--output'", hint="give -o FOLDER, or --dry-run to write nothing")


def _refuse_what_only_a_step_has(given: Mapping[str, object], method: str) -> None:
    """Refuse options of the second-order step, and of the mask that it makes for itself.

    Raises:
        InputError: One was given.
    """
    parameters = inspect.signature(unlearn).parameters
    odd = [name for name in OF_A_STEP if given[name] != parameters[name].default]
    if odd:
        name = odd[0].replace("_", "-")
        raise InputError(
            f"--{name} is of the second-order step, and method '{method}' trains",
            hint="leave it out; a mask is made with speu mask, and given with --mask",
        )


def _model_without_state(model: Path | None, request_id: str | None) -> Path:
    """What every run without a state has to name.

    Args:
        model: Checkpoint folder.
        request_id: Must be none.

    Returns:
        The folder.

    Raises:
        InputError: It is missing, or the request has a name.
    """
    if request_id is not None:
        raise InputError("--request-id names a request of a state, and no --state was given", hint=SEE)
    if model is None:
        raise InputError("missing argument 'MODEL'", hint=SEE)
    return model


def _training_inputs(
    model: Path | None, data: str | None, forget: str, request_id: str | None
) -> tuple[Path, str, str]:
    """What a training has to name.

    Args:
        model: Checkpoint folder.
        data: Training set.
        forget: Id list.
        request_id: Must be none.

    Returns:
        Model, data and id list.

    Raises:
        InputError: One of them is missing, or the request has a name.
    """
    model = _model_without_state(model, request_id)
    if data is None:
        raise InputError("missing option '--data'", hint=SEE)
    return model, data, forget


def _named(
    model: Path | None, fisher: Path | None, data: str | None, request_id: str | None
) -> tuple[Path, Path, str]:
    """What a request without a state has to name.

    Args:
        model: Checkpoint folder.
        fisher: Statistics file.
        data: Training set.
        request_id: Must be none.

    Returns:
        Model, statistics and data.

    Raises:
        InputError: One of them is missing, or the request has a name.
    """
    model = _model_without_state(model, request_id)
    if fisher is None or data is None:
        missing = "--fisher" if fisher is None else "--data"
        raise InputError(f"missing option '{missing}'", hint=SEE)
    return model, fisher, data


def _refuse_what_is_settled(given: Mapping[str, object], choice: DataOptions) -> None:
    """Refuse options that contradict, or might, what a state has settled for all its requests.

    Raises:
        InputError: One was given.
    """
    parameters = inspect.signature(unlearn).parameters
    odd = [name for name in SETTLED if given[name] != parameters[name].default]
    odd += [field.name for field in fields(choice) if getattr(choice, field.name) is not None]
    if odd:
        name = odd[0].replace("_", "-")
        raise InputError(
            f"--{name} was given with --state, which has settled it",
            hint="leave it out, or make another state",
        )


def _show(out: Output, result: "UnlearnResult") -> None:
    """Print what was done, or would be."""
    if result.note is not None:
        out.note(result.note)
    if out.json:
        out.json_object(result)
        return
    target = "" if result.target_loss is None else f" (target {as_text(result.target_loss)})"
    facts: dict[str, object] = {
        "output": "nothing, this was a dry run" if result.dry_run else result.output,
        "method": result.method,
        **({"recipe": result.recipe} if result.recipe else {}),
        "forget examples": f"{result.forget_examples:,}, {result.examples_in_step:,} of them in the step",
        "remaining examples": result.remaining_examples,
        "forget loss": f"{as_text(result.loss_before)} -> {as_text(result.loss_after)}{target}",
    }
    if result.objective is not None:
        facts["chosen by"] = result.objective + (f", {result.within}" if result.within else "")
    if result.criterion:
        facts["criterion"] = [f"{name} {as_text(value)}" for name, value in result.criterion.items()]
    if result.rate is not None:
        facts["rate"] = f"{as_text(result.rate)} (of {result.rate_trials} tried)"
    facts |= {kind: part_of(*counts) for kind, counts in result.selected.items()}
    facts["parameters changed"] = part_of(result.parameters_changed, result.parameters_total)
    facts["time"] = duration(result.seconds)
    if result.dry_run:
        facts["would read"] = result.reads
        facts["would write"] = [
            name if count is None else f"{name} ({size(count)})" for name, count in result.writes.items()
        ]
    out.facts(facts)
