"""``speu eval``: what a model still knows, beside the original and the retrained one."""

from pathlib import Path
from typing import Annotated

from speu_cli.cli import values
from speu_cli.cli.options import (
    DataOption,
    DataOptions,
    ForgetOption,
    ModelArgument,
    RunOptions,
    SeedOption,
    ShowOptions,
    of_input,
    of_method,
    of_output,
)

EXAMPLES = """
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --original model/
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --reference retrained/ \\
      --require 'testing_accuracy>=0.84' --json
"""


def evaluate(
    *,
    model: ModelArgument,
    data: DataOption,
    forget: ForgetOption,
    test: Annotated[
        str, of_input("--test", metavar="SOURCE", help="Examples that the model was never trained on.")
    ],
    original: Annotated[
        Path | None, of_input("--original", metavar="MODEL", help="The model before unlearning, to compare.")
    ] = None,
    reference: Annotated[
        Path | None,
        of_input("--reference", metavar="MODEL", help="A model retrained without the examples, to compare."),
    ] = None,
    choice: DataOptions,
    max_remaining: Annotated[
        int | None,
        of_method(
            "--max-remaining",
            metavar="N",
            parser=values.whole(least=1),
            help="At most this many of the remaining examples, drawn with --seed.",
        ),
    ] = None,
    seed: SeedOption = 0,
    require: Annotated[
        list[str] | None,
        of_output(
            "--require",
            metavar="GATE",
            help="Such as 'testing_accuracy>=0.84': exit with 1 if it is not met; may be repeated.",
        ),
    ] = None,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Measure what a model still knows of the forgotten, the remaining and the test examples."""
    out = show.output()
    with out.working(data, test) as progress:
        from speu_cli.stages.evaluate import evaluate as stage

        result = stage(
            model,
            data,
            forget,
            test,
            original=original,
            reference=reference,
            max_remaining=max_remaining,
            seed=seed,
            require=require or (),
            choice=choice.choice(),
            runtime=run.runtime(progress),
        )
    out.result(result)
