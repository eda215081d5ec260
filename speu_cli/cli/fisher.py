"""``speu fisher``: the statistics of the training examples."""

from typing import TYPE_CHECKING, Annotated

from speu_cli.cli import values
from speu_cli.cli.options import (
    DataOption,
    DataOptions,
    FileOutput,
    ForceOption,
    ModelArgument,
    RunOptions,
    SeedOption,
    ShowOptions,
    of_input,
    refuse_two_readers_of_stdin,
)
from speu_cli.cli.output import Output
from speu_cli.cli.wording import duration, part_of, size

if TYPE_CHECKING:
    from speu_cli.stages.fisher import FisherResult

EXAMPLES = """
  speu fisher model/ --data train.jsonl --holdout dev.jsonl -o fisher.safetensors
  speu fisher model/ --data reviews.csv.gz --text-column body --max-examples 5000 -o fisher.safetensors
"""


def fisher(
    *,
    model: ModelArgument,
    data: DataOption,
    holdout: Annotated[
        str | None,
        of_input(
            "--holdout",
            metavar="SOURCE",
            help="Examples never trained on; their losses are kept: what unseen looks like to this model.",
        ),
    ] = None,
    ids: Annotated[
        str | None, of_input("--ids", metavar="IDS", help="Only the examples with these ids; - reads stdin.")
    ] = None,
    exclude: Annotated[
        str | None, of_input("--exclude", metavar="IDS", help="Without these ids; - reads standard input.")
    ] = None,
    max_examples: Annotated[
        int | None,
        of_input(
            "--max-examples",
            metavar="N",
            parser=values.whole(least=1),
            help="At most this many examples, drawn with --seed.",
        ),
    ] = None,
    choice: DataOptions,
    seed: SeedOption = 0,
    output: FileOutput,
    force: ForceOption = False,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Compute the statistics of the training examples, once after training.

    They hold the squared and the summed gradients, exact for each example, over parameters, heads and
    filters. A later request to forget then reads only the few examples in it.
    """
    refuse_two_readers_of_stdin(ids=ids, exclude=exclude)
    out = show.output()
    with out.working(data, holdout) as progress:
        from speu_cli.stages.fisher import fisher as stage

        result = stage(
            model,
            data,
            output,
            holdout=holdout,
            ids=ids,
            exclude=exclude,
            max_examples=max_examples,
            seed=seed,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _show(out: Output, result: "FisherResult") -> None:
    """Print what was computed."""
    if out.json:
        out.json_object(result)
        return
    sampled = result.used < result.examples
    out.facts(
        {
            "output": result.output,
            "size": size(result.bytes),
            "examples": part_of(result.used, result.examples) if sampled else result.examples,
            "tokens": result.tokens,
            "mean loss": result.mean_loss,
            "held-out examples": result.holdout_examples,
            "held-out loss": result.unseen_loss,
            "time": duration(result.seconds),
            "sha256": result.sha256,
        }
    )
    if result.unseen_loss is None:
        out.note("what unseen examples look like is not known: a request needs --target-loss or --rate")
