"""The options that commands share: their names, help, limits and the panel of the help page they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from speu_cli.cli import values
from speu_cli.cli.output import Output
from speu_cli.errors import InputError

if TYPE_CHECKING:
    from speu_cli.data.columns import DataChoice
    from speu_cli.progress import Progress
    from speu_cli.stages.runtime import Runtime

PANELS = ("Arguments", "Input", "Method", "Output", "Runtime")

argument = partial(typer.Argument, rich_help_panel="Arguments")
of_input = partial(typer.Option, rich_help_panel="Input")
of_method = partial(typer.Option, rich_help_panel="Method")
of_output = partial(typer.Option, rich_help_panel="Output")
of_runtime = partial(typer.Option, rich_help_panel="Runtime")

Kinds = Literal["heads", "filters", "both"]
Curvature = Literal["total", "mean"]
KeyValue = Literal["any", "all"]
Objective = Literal["mlr", "mlf", "norm", "random"]
SecondOrder = Literal["spe-so", "so"]
Method = Literal["spe-so", "so", "ssd"]
ForgetExamples = Literal["all", "remembered"]

ModelArgument = Annotated[
    Path, argument(metavar="MODEL", help="Checkpoint folder: config, tokenizer, safetensors weights.")
]
DataOption = Annotated[
    str,
    of_input(
        "--data",
        metavar="SOURCE",
        help="Training examples: .jsonl, .json, .csv or .tsv (each also .gz), .parquet, a folder saved by "
        "datasets, or hub:NAME[:CONFIG]; of images a folder too.",
    ),
]
FisherOption = Annotated[
    Path, of_input("--fisher", metavar="FILE", help="Statistics of the training examples, from speu fisher.")
]
StateArgument = Annotated[Path, argument(metavar="STATE", help="Folder of the state.")]
# Where a state may stand in for them.
OptionalModelArgument = Annotated[
    Path | None,
    argument(metavar="MODEL", help="Checkpoint folder: config, tokenizer, safetensors weights."),
]
OptionalDataOption = Annotated[
    str | None, of_input("--data", metavar="SOURCE", help="Its training examples, as speu fisher read them.")
]
OptionalFisherOption = Annotated[
    Path | None,
    of_input("--fisher", metavar="FILE", help="Statistics of the training examples, from speu fisher."),
]
ForgetOption = Annotated[
    str,
    of_input(
        "--forget",
        metavar="IDS",
        help="Ids of the examples to forget: a file, or - for standard input; one a line or a JSON list.",
    ),
]
FileOutput = Annotated[Path, of_output("--output", "-o", metavar="FILE", help="Where to write the result.")]
FolderOutput = Annotated[
    Path, of_output("--output", "-o", metavar="FOLDER", help="Where to write the checkpoint.")
]
PictureOption = Annotated[
    Path | None, of_output("--picture", metavar="FILE.png", help="Also draw the mask into this file.")
]
SeedOption = Annotated[
    int, of_method("--seed", metavar="N", parser=values.whole(least=0), help="Seed of the random choices.")
]

FORGET_EXAMPLES = (
    "Which of the examples to forget count: all, or those whose loss is below that of unseen ones."
)
ForgetExamplesOption = Annotated[
    ForgetExamples,
    of_method(
        "--forget-examples",
        help=FORGET_EXAMPLES,
    ),
]
OptionalForgetExamplesOption = Annotated[
    ForgetExamples | None,
    of_method(
        "--forget-examples",
        show_default="as the recipe says",
        help=FORGET_EXAMPLES,
    ),
]
TargetLossOption = Annotated[
    float | None,
    of_method(
        "--target-loss",
        metavar="X",
        parser=values.real(above=0),
        show_default="that of the held-out examples",
        help="Mean loss of unseen examples, where the forgotten ones should end.",
    ),
]

SparsityOption = Annotated[
    float,
    of_method(
        "--sparsity",
        metavar="S",
        parser=values.real(least=0, below=1),
        help="Share of the heads and filters that stay frozen.",
    ),
]
KindsOption = Annotated[Kinds, of_method("--kinds", help="What the mask chooses among.")]
CurvatureOption = Annotated[
    Curvature,
    of_method("--curvature", help="Curvature of the summed loss (total) or of the mean loss (mean)."),
]
KeyValueOption = Annotated[
    KeyValue,
    of_method(
        "--kv",
        help="With grouped-query attention: let a key and value head that several heads share change if any "
        "of them is chosen, or only if all are.",
    ),
]
RoundsOption = Annotated[
    int | None,
    of_method(
        "--rounds",
        metavar="N",
        parser=values.whole(least=0),
        show_default="until no swap helps",
        help="Rounds of rearrangement; the paper's setting is 1.",
    ),
]
ObjectiveOption = Annotated[
    Objective,
    of_method(
        "--objective",
        help="What heads and filters are chosen by: the loss of the remaining examples (mlr), that of the "
        "forgotten ones (mlf), the norm of the gradient of these (norm), or nothing (random), a control.",
    ),
]
WithinOption = Annotated[
    str | None,
    of_method(
        "--within",
        metavar="wanda:S",
        parser=values.within,
        show_default="all weights",
        help="Inside the selected heads and filters freeze this share of each output's weights too, those "
        "with the least product of weight and input norm over the examples to forget.",
    ),
]
SecondOrderOption = Annotated[
    SecondOrder,
    of_method("--method", help="Update the selected heads and filters (spe-so) or all of them (so)."),
]
SsdAlphaOption = Annotated[
    float,
    of_method(
        "--ssd-alpha",
        metavar="X",
        parser=values.real(least=0),
        help="With ssd: shrink what matters more than X times as much to the forgotten as to all examples.",
    ),
]
SsdLambdaOption = Annotated[
    float,
    of_method(
        "--ssd-lambda",
        metavar="X",
        parser=values.real(above=0),
        help="With ssd: scale of the factor that it is shrunk by.",
    ),
]
RateOption = Annotated[
    float | None,
    of_method(
        "--rate",
        metavar="auto|X",
        parser=values.rate,
        show_default="auto",
        help="Learning rate; auto searches for the one at which the forgotten examples look unseen.",
    ),
]
MAX_OVERSHOOT = "Refuse a step whose loss lies further above the target than this factor."
MaxOvershootOption = Annotated[
    float,
    of_method("--max-overshoot", metavar="X", parser=values.real(least=1), help=MAX_OVERSHOOT),
]
OptionalMaxOvershootOption = Annotated[
    float | None,
    of_method(
        "--max-overshoot",
        metavar="X",
        parser=values.real(least=1),
        show_default="2.0",
        help=MAX_OVERSHOOT,
    ),
]
RecipeOption = Annotated[
    str | None,
    of_method(
        "--recipe",
        metavar="default|paper|FILE.toml",
        show_default="default; paper with one of --rate, --target-loss, --max-overshoot, --forget-examples "
        "and --hold-directions, which only its step has",
        help="How the step is made: each example to what an unseen one would be known like, and the result "
        "checked (default); along one direction (paper, Eq. 10); or as a file says.",
    ),
]
DAMPING = (
    "Added to the curvature before it divides, as a multiple of each tensor's mean curvature; of its "
    "selected part's, if the statistics hold no more."
)
DampingOption = Annotated[
    float, of_method("--damping", metavar="X", parser=values.real(least=0), help=DAMPING)
]
OptionalDampingOption = Annotated[
    float | None,
    of_method(
        "--damping",
        metavar="X",
        parser=values.real(least=0),
        show_default="as the recipe says",
        help=DAMPING,
    ),
]

HoldDirectionsOption = Annotated[
    float | None,
    of_method(
        "--hold-directions",
        metavar="X",
        parser=values.real(above=0, infinite=True),
        show_default="not held",
        help="Move 1 + X times less along the directions that many training examples share, such as the "
        "balance of the classes; with inf, not at all. For statistics of speu fisher --directions.",
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """How the examples are read."""

    id_column: Annotated[
        str | None,
        of_input("--id-column", metavar="NAME", help="Column of the ids; '' takes the row numbers, from 0."),
    ] = None
    text_column: Annotated[
        str | None,
        of_input("--text-column", metavar="NAME", help="Column of the text, question, prompt or image."),
    ] = None
    text_pair_column: Annotated[
        str | None,
        of_input(
            "--text-pair-column", metavar="NAME", help="Column of the second text, context; '' for none."
        ),
    ] = None
    label_column: Annotated[
        str | None, of_input("--label-column", metavar="NAME", help="Column of the label, score or answers.")
    ] = None
    split: Annotated[
        str | None, of_input("--split", metavar="NAME", help="Split of a datasets folder or a hub data set.")
    ] = None
    task: Annotated[
        str | None,
        of_input(
            "--task",
            metavar="NAME",
            help="classification, regression, question-answering, causal-lm or image-classification; without "
            "it, the model's own.",
        ),
    ] = None
    max_length: Annotated[
        int | None,
        of_input("--max-length", metavar="N", parser=values.whole(least=1), help="Longest input in tokens."),
    ] = None

    doc_stride: Annotated[
        int | None,
        of_input(
            "--doc-stride",
            metavar="N",
            parser=values.whole(least=0),
            show_default="128, at most a quarter of a window",
            help="Tokens that two windows of one long context share, for question-answering.",
        ),
    ] = None
    no_chat_template: Annotated[
        bool | None,
        of_input("--no-chat-template", help="For causal-lm: prompts without the tokenizer's chat template."),
    ] = None

    def choice(self) -> DataChoice:
        """Return what the stages take."""
        from speu_cli.data.columns import DataChoice

        return DataChoice(
            id_column=self.id_column,
            text_column=self.text_column,
            text_pair_column=self.text_pair_column,
            label_column=self.label_column,
            split=self.split,
            task=self.task,
            max_length=self.max_length,
            doc_stride=self.doc_stride,
            chat_template=False if self.no_chat_template else None,
        )


@dataclass(frozen=True)
class RunOptions:
    """Where and how a command computes."""

    device: Annotated[
        str,
        of_runtime(
            "--device",
            metavar="cpu|cuda[:N]|mps|auto",
            envvar="SPEU_DEVICE",
            parser=values.device,
            help="Where the model runs; auto spreads its layers over all GPUs.",
        ),
    ] = "cpu"
    batch_tokens: Annotated[
        int,
        of_runtime(
            "--batch-tokens",
            metavar="N|auto",
            envvar="SPEU_BATCH_TOKENS",
            parser=values.batch_tokens,
            help="Tokens of one batch, padding included; less takes less memory. auto: in fisher as many as "
            "pay and fit, found by trial, elsewhere 2048.",
        ),
    ] = 2048

    def runtime(self, progress: Progress, *, force: bool = False) -> Runtime:
        """Return what the stages take.

        Args:
            progress: Who is told of the progress.
            force: Whether an existing output may be replaced.

        Returns:
            The device, batch size, progress and permission to overwrite.
        """
        from speu_cli.stages.runtime import BATCH_TOKENS, Runtime

        tokens = self.batch_tokens or BATCH_TOKENS
        return Runtime(device=self.device, batch_tokens=tokens, force=force, progress=progress)


ForceOption = Annotated[bool, of_output("--force", help="Replace an existing output.")]


@dataclass(frozen=True)
class ShowOptions:
    """What a command prints."""

    json: Annotated[bool, of_output("--json", help="Print one JSON object on standard output.")] = False
    quiet: Annotated[bool, of_output("--quiet", "-q", help="Print the result and errors only.")] = False
    verbose: Annotated[
        bool, of_output("--verbose", "-v", help="Tell more, and let the warnings of libraries through.")
    ] = False

    def output(self) -> Output:
        """Return where the command prints."""
        return Output(json=self.json, quiet=self.quiet, verbose=self.verbose)


def refuse_two_readers_of_stdin(**sources: str | None) -> None:
    """Refuse a command line in which standard input would be read twice.

    Args:
        **sources: The value of each option that takes ``-``, by its Python name.

    Raises:
        InputError: More than one of them is ``-``.
    """
    names = ["--" + name.replace("_", "-") for name, source in sources.items() if source == "-"]
    if len(names) > 1:
        raise InputError(
            f"{' and '.join(names)} are both '-', but standard input can be read only once",
            hint="put all but one of the id lists into files",
        )
