"""``speu mask``: which heads and filters may change."""

from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import (
    CurvatureOption,
    DataOptions,
    FileOutput,
    FisherOption,
    ForceOption,
    ForgetExamplesOption,
    KeyValueOption,
    KindsOption,
    ModelArgument,
    ObjectiveOption,
    PictureOption,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    TargetLossOption,
    WithinOption,
    of_input,
)
from speu_cli.cli.output import Output
from speu_cli.wording import as_text, part_of

if TYPE_CHECKING:
    from speu_cli.stages.mask import MaskResult

EXAMPLES = """
  speu mask model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt -o mask.safetensors
  speu mask model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt --objective mlf \\
      --within wanda:0.9 -o mask.safetensors
  speu mask model/ --fisher fisher.safetensors --kinds heads --picture mask.png -o warm.safetensors
"""


def mask(
    *,
    model: ModelArgument,
    fisher: FisherOption,
    data: Annotated[
        str | None,
        of_input("--data", metavar="SOURCE", help="The training examples; needed with --forget."),
    ] = None,
    forget: Annotated[
        str | None,
        of_input(
            "--forget",
            metavar="IDS",
            help="Ids of the examples to forget (a file, or - for standard input); without them, the mask "
            "that can be computed before any request.",
        ),
    ] = None,
    choice: DataOptions,
    sparsity: SparsityOption = 0.9,
    kinds: KindsOption = "both",
    curvature: CurvatureOption = "total",
    rounds: RoundsOption = None,
    kv: KeyValueOption = "any",
    objective: ObjectiveOption = "mlr",
    within: WithinOption = None,
    forget_examples: ForgetExamplesOption = "all",
    target_loss: TargetLossOption = None,
    output: FileOutput,
    picture: PictureOption = None,
    force: ForceOption = False,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Choose the attention heads and filters that an update may change; all others stay frozen."""
    out = show.output()
    with out.working(data) as progress:
        from speu_cli.stages.mask import mask as stage

        result = stage(
            model,
            fisher,
            output,
            data=data,
            forget=forget,
            sparsity=sparsity,
            kinds=kinds,
            curvature=curvature,
            rounds=rounds,
            kv=kv,
            objective=objective,
            within=within,
            forget_examples=forget_examples,
            target_loss=target_loss,
            picture=picture,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _show(out: Output, result: "MaskResult") -> None:
    """Print what was selected."""
    if result.note is not None:
        out.note(result.note)
    if out.json:
        out.json_object(result)
        return
    weights = "" if result.entries is None else part_of(*result.entries)
    f = ""
    if result.objective_before is not None and result.objective_after is not None:
        before, after = as_text(result.objective_before), as_text(result.objective_after)
        f = f", {before} -> {after} ({result.swaps:,} swaps)"
    out.facts(
        {
            "output": result.output,
            "picture": result.picture,
            "made for": "any request"
            if result.forget_examples is None
            else f"{result.forget_examples:,} forget examples",
            **{kind: part_of(*counts) for kind, counts in result.selected.items()},
            "weights": weights or None,
            "objective": f"{result.objective}{f}",
            "sha256": result.sha256,
        }
    )
