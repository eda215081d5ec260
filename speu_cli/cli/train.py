"""``speu train``: the original model, or one retrained without some examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli import values
from speu_cli.cli.options import (
    DataOption,
    DataOptions,
    FolderOutput,
    ForceOption,
    RunOptions,
    SeedOption,
    ShowOptions,
    argument,
    of_input,
    of_method,
)
from speu_cli.cli.output import Output
from speu_cli.wording import duration

if TYPE_CHECKING:
    from speu_cli.stages.train import TrainResult

EXAMPLES = """
  speu train base/ --data train.jsonl -o model/
  speu train base/ --data train.jsonl --exclude ids.txt -o retrained/
"""


def train(
    *,
    base: Annotated[
        Path, argument(metavar="BASE", help="Folder of the pretrained model: config, tokenizer, weights.")
    ],
    data: DataOption,
    exclude: Annotated[
        str | None,
        of_input("--exclude", metavar="IDS", help="Train without these ids: a file, or - for stdin."),
    ] = None,
    choice: DataOptions,
    epochs: Annotated[
        float, of_method("--epochs", metavar="X", parser=values.real(above=0), help="Passes over the data.")
    ] = 5.0,
    learning_rate: Annotated[
        float,
        of_method(
            "--learning-rate", metavar="X", parser=values.real(above=0), help="Peak learning rate of AdamW."
        ),
    ] = 5e-5,
    batch_size: Annotated[
        int, of_method("--batch-size", metavar="N", parser=values.whole(least=1), help="Examples a step.")
    ] = 32,
    weight_decay: Annotated[
        float,
        of_method("--weight-decay", metavar="X", parser=values.real(least=0), help="Weight decay of AdamW."),
    ] = 0.0,
    num_labels: Annotated[
        int | None,
        of_method(
            "--num-labels",
            metavar="N",
            parser=values.whole(least=1),
            show_default="as many as the data has",
            help="Labels of the new model.",
        ),
    ] = None,
    seed: SeedOption = 0,
    output: FolderOutput,
    force: ForceOption = False,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Fine-tune a model, with --exclude without some examples: the reference that unlearning aims at."""
    out = show.output()
    with out.working(data) as progress:
        from speu_cli.stages.train import train as stage

        result = stage(
            base,
            data,
            output,
            exclude=exclude,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            weight_decay=weight_decay,
            num_labels=num_labels,
            seed=seed,
            choice=choice.choice(),
            runtime=run.runtime(progress, force=force),
        )
    _show(out, result)


def _show(out: Output, result: "TrainResult") -> None:
    """Print what was trained."""
    if out.json:
        out.json_object(result)
        return
    out.facts(
        {
            "output": result.output,
            "task": result.task,
            "labels": result.labels,
            "examples": result.examples,
            "left out": result.excluded,
            "epochs": result.epochs,
            "steps": result.steps,
            "mean loss": result.mean_loss,
            "time": duration(result.seconds),
        }
    )
