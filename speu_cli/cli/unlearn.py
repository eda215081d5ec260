"""``speu unlearn``: forget, and write the new checkpoint beside the old."""

from pathlib import Path
from typing import Annotated

from speu_cli.cli import values
from speu_cli.cli.options import (
    CurvatureOption,
    DataOption,
    DataOptions,
    FisherOption,
    ForceOption,
    ForgetExamples,
    ForgetOption,
    KindsOption,
    Method,
    ModelArgument,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    of_input,
    of_method,
    of_output,
)
from speu_cli.errors import InputError

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
        of_method("--method", help="Update the chosen heads and filters (spe-so) or every parameter (so)."),
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
    target_loss: Annotated[
        float | None,
        of_method(
            "--target-loss",
            metavar="X",
            parser=values.real(above=0),
            show_default="that of the held-out examples",
            help="Mean loss of the forgotten examples that auto aims at.",
        ),
    ] = None,
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
            parser=values.real(above=0),
            help="Added to the curvature of the remaining examples before it divides.",
        ),
    ] = 0.1,
    forget_examples: Annotated[
        ForgetExamples,
        of_method("--forget-examples", help="Which of the examples to forget shape the step."),
    ] = "remembered",
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
    out.result(result)


def _refuse_no_output(output: Path | None, *, dry_run: bool) -> None:
    """Refuse a run that would have nowhere to write.

    Raises:
        InputError: There is no output, and this is no dry run.
    """
    if output is None and not dry_run:
        raise InputError("missing option '--output'", hint="give -o FOLDER, or --dry-run to write nothing")
