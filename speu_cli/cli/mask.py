"""``speu mask``: which heads and filters may change."""

from typing import Annotated

from speu_cli.cli.options import (
    CurvatureOption,
    DataOptions,
    FileOutput,
    FisherOption,
    ForceOption,
    KindsOption,
    ModelArgument,
    PictureOption,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    of_input,
)

EXAMPLES = """
  speu mask model/ --fisher fisher.safetensors --data train.jsonl --forget ids.txt -o mask.safetensors
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
            picture=picture,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    out.result(result)
