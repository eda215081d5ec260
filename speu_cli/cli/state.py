"""``speu requests init``: make a state."""

from pathlib import Path
from typing import Annotated, Literal

from speu_cli.cli import values
from speu_cli.cli.options import (
    CurvatureOption,
    DampingOption,
    DataOption,
    DataOptions,
    FisherOption,
    ForgetExamplesOption,
    HoldDirectionsOption,
    KeyValueOption,
    KindsOption,
    MaxOvershootOption,
    RateOption,
    RoundsOption,
    RunOptions,
    SecondOrderOption,
    ShowOptions,
    SparsityOption,
    StateArgument,
    TargetLossOption,
    of_input,
    of_method,
)

Mode = Literal["aided", "free"]

EXAMPLES = """
  speu requests init state/ --model model/ --fisher fisher.safetensors --data train.jsonl
  speu requests init state/ --model model/ --fisher fisher.safetensors --data train.jsonl \\
      --holdout dev.jsonl --retrain-when 'forgotten_share>0.02' --retrain-when 'holdout.rise>0.05'
  speu unlearn --state state/ --forget ids.txt --request-id R-2026-017 -o unlearned/
"""


def init(
    *,
    state: StateArgument,
    model: Annotated[
        Path, of_input("--model", metavar="MODEL", help="Checkpoint folder that requests start from.")
    ],
    fisher: FisherOption,
    data: DataOption,
    holdout: Annotated[
        str | None,
        of_input(
            "--holdout",
            metavar="SOURCE",
            help="Examples never trained on; their losses are told with every request.",
        ),
    ] = None,
    choice: DataOptions,
    continues: Annotated[
        Path | None,
        of_input(
            "--continues",
            metavar="STATE",
            help="State of the model before it was retrained: the new ledger names the head of its ledger.",
        ),
    ] = None,
    mode: Annotated[
        Mode,
        of_method(
            "--mode",
            help="Compute all requests at the original model, with sums of what was forgotten (aided), or "
            "each from the last model, with new statistics of what remains (free).",
        ),
    ] = "aided",
    max_examples: Annotated[
        int | None,
        of_method(
            "--max-examples",
            metavar="N",
            parser=values.whole(least=1),
            show_default="all",
            help="With --mode free: most remaining examples that a request computes statistics of.",
        ),
    ] = None,
    method: SecondOrderOption = "spe-so",
    sparsity: SparsityOption = 0.9,
    kinds: KindsOption = "both",
    curvature: CurvatureOption = "total",
    rounds: RoundsOption = None,
    kv: KeyValueOption = "any",
    rate: RateOption = None,
    target_loss: TargetLossOption = None,
    max_overshoot: MaxOvershootOption = 2.0,
    damping: DampingOption = 0.1,
    forget_examples: ForgetExamplesOption = "all",
    hold_directions: HoldDirectionsOption = None,
    watch: Annotated[
        int,
        of_method(
            "--watch",
            metavar="N",
            parser=values.whole(least=0),
            help="Held-out and training examples, at most so many of each, whose losses are told with every "
            "request.",
        ),
    ] = 256,
    retrain_when: Annotated[
        list[str] | None,
        of_method(
            "--retrain-when",
            metavar="GATE",
            help="Such as 'drift.share>0.01': a request that gets there is served, and exits with 9; may be "
            "repeated. Of drift.norm, drift.share, forgotten_share; loss or rise of holdout or remaining.",
        ),
    ] = None,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Make a state: a folder that one request after the other is served from.

    It settles model, statistics and method for all requests. The file salt in it tells which ids were
    forgotten to whoever also has the ledger: keep it apart.
    """
    out = show.output()
    with out.working(data, holdout) as progress:
        from speu_cli.masks.localization import MaskSettings
        from speu_cli.stages.requests.start import StepChoice, WatchChoice, start_requests

        result = start_requests(
            state,
            model,
            fisher,
            data,
            mode=mode,
            max_examples=max_examples,
            method=method,
            mask=MaskSettings(sparsity, kinds, curvature, rounds, kv),
            step=StepChoice(damping, rate, target_loss, max_overshoot, forget_examples, hold_directions),
            watch=WatchChoice(holdout, watch, tuple(retrain_when or ())),
            continues=continues,
            choice=choice.choice(),
            runtime=run.runtime(progress),
        )
    if out.json:
        out.json_object(result)
        return
    watched = f"{result.holdout_examples:,} held-out, {result.remaining_examples:,} training examples"
    out.facts(
        {
            "state": result.state,
            "examples": result.examples,
            "mode": result.mode,
            "method": result.method,
            "statistics": result.statistics,
            "salt": result.salt,
            "watched": watched,
            "continues": result.continues,
        }
    )
