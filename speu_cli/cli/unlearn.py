"""``speu unlearn``: forget, and write the new checkpoint beside the old."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli import values
from speu_cli.cli.options import (
    CurvatureOption,
    DataOption,
    DataOptions,
    FisherOption,
    ForceOption,
    ForgetExamplesOption,
    ForgetOption,
    KindsOption,
    Method,
    ModelArgument,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    TargetLossOption,
    of_input,
    of_method,
    of_output,
)
from speu_cli.cli.output import Output
from speu_cli.cli.wording import as_text, duration, part_of, size
from speu_cli.errors import InputError

if TYPE_CHECKING:
    from speu_cli.stages.unlearn import UnlearnResult

EXAMPLES = """
  speu unlearn model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt -o unlearned/
  speu unlearn model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt --dry-run
"""


def unlearn(
    *,
    model: ModelArgument,
    fisher: FisherOption,
    data: DataOption,
    forget: ForgetOption,
    mask: Annotated[
        Path | None,
        of_input(
            "--mask",
            metavar="FILE",
            help="A mask from speu mask; without it one is made with --sparsity, --kinds and --rounds.",
        ),
    ] = None,
    choice: DataOptions,
    method: Annotated[
        Method,
        of_method("--method", help="Update the selected heads and filters (spe-so) or all of them (so)."),
    ] = "spe-so",
    sparsity: SparsityOption = 0.9,
    kinds: KindsOption = "both",
    curvature: CurvatureOption = "total",
    rounds: RoundsOption = None,
    rate: Annotated[
        float | None,
        of_method(
            "--rate",
            metavar="auto|X",
            parser=values.rate,
            show_default="auto",
            help="Learning rate; auto searches for the one at which the forgotten examples look unseen.",
        ),
    ] = None,
    target_loss: TargetLossOption = None,
    max_overshoot: Annotated[
        float,
        of_method(
            "--max-overshoot",
            metavar="X",
            parser=values.real(least=1),
            help="Refuse a step whose loss lies further above the target than this factor.",
        ),
    ] = 2.0,
    damping: Annotated[
        float,
        of_method(
            "--damping",
            metavar="X",
            parser=values.real(least=0),
            help="Added to the curvature before it divides, as a multiple of each tensor's mean curvature; "
            "of its selected part's, if the statistics hold no more.",
        ),
    ] = 0.1,
    forget_examples: ForgetExamplesOption = "all",
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
    """Forget examples: one second-order step, and a complete checkpoint in a new folder.

    Only the chosen heads and filters change; all other parameters stay as they are, bit for bit. The
    remaining training examples are not read: their curvature comes from the statistics.
    """
    _refuse_no_output(output, dry_run=dry_run)
    out = show.output()
    with out.working(data) as progress:
        from speu_cli.stages.unlearn import unlearn as stage

        result = stage(
            model,
            fisher,
            data,
            forget,
            output,
            mask=mask,
            method=method,
            sparsity=sparsity,
            kinds=kinds,
            curvature=curvature,
            rounds=rounds,
            rate=rate,
            target_loss=target_loss,
            max_overshoot=max_overshoot,
            damping=damping,
            forget_examples=forget_examples,
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
        "forget examples": f"{result.forget_examples:,}, {result.examples_in_step:,} of them in the step",
        "remaining examples": result.remaining_examples,
        "forget loss": f"{as_text(result.loss_before)} -> {as_text(result.loss_after)}{target}",
        "rate": f"{as_text(result.rate)} (of {result.rate_trials} tried)",
    }
    facts |= {kind: part_of(*counts) for kind, counts in result.selected.items()}
    facts["parameters changed"] = part_of(result.parameters_changed, result.parameters_total)
    facts["time"] = duration(result.seconds)
    if result.dry_run:
        facts["would read"] = result.reads
        facts["would write"] = [
            name if count is None else f"{name} ({size(count)})" for name, count in result.writes.items()
        ]
    out.facts(facts)
