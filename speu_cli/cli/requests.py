"""``speu requests``: the state that requests are served from, and the ledger of what was done."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import (
    CurvatureOption,
    DampingOption,
    DataOption,
    DataOptions,
    FisherOption,
    ForgetExamplesOption,
    KindsOption,
    MaxOvershootOption,
    MethodOption,
    RateOption,
    RoundsOption,
    RunOptions,
    ShowOptions,
    SparsityOption,
    TargetLossOption,
    argument,
    of_input,
)
from speu_cli.cli.output import Output

if TYPE_CHECKING:
    from speu_cli.stages.requests.verify import VerifyResult

StateArgument = Annotated[Path, argument(metavar="STATE", help="Folder of the state.")]

INIT_EXAMPLES = """
  speu requests init state/ --model model/ --fisher fisher.safetensors --data train.jsonl
  speu unlearn --state state/ --forget ids.txt --request-id R-2026-017 -o unlearned/
"""
LIST_EXAMPLES = """
  speu requests list state/
  speu requests list state/ --json
"""
SHOW_EXAMPLES = """
  speu requests show state/ R-2026-017
"""
VERIFY_EXAMPLES = """
  speu requests verify state/
"""


def init(
    *,
    state: StateArgument,
    model: Annotated[
        Path, of_input("--model", metavar="MODEL", help="Checkpoint folder that requests start from.")
    ],
    fisher: FisherOption,
    data: DataOption,
    choice: DataOptions,
    continues: Annotated[
        Path | None,
        of_input(
            "--continues",
            metavar="STATE",
            help="State of the model before it was retrained: the new ledger names the head of its ledger.",
        ),
    ] = None,
    method: MethodOption = "spe-so",
    sparsity: SparsityOption = 0.9,
    kinds: KindsOption = "both",
    curvature: CurvatureOption = "total",
    rounds: RoundsOption = None,
    rate: RateOption = None,
    target_loss: TargetLossOption = None,
    max_overshoot: MaxOvershootOption = 2.0,
    damping: DampingOption = 0.1,
    forget_examples: ForgetExamplesOption = "all",
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Make a state: a folder that one request after the other is served from, each at the same price.

    It settles model, statistics and method for all requests. Every request is computed at the original
    model, from the sums of all that was forgotten. The file salt in it tells which ids were forgotten to
    whoever also has the ledger: keep it apart.
    """
    out = show.output()
    with out.working(data) as progress:
        from speu_cli.stages.requests.start import StepChoice, start_requests

        result = start_requests(
            state,
            model,
            fisher,
            data,
            method=method,
            sparsity=sparsity,
            kinds=kinds,
            curvature=curvature,
            rounds=rounds,
            step=StepChoice(damping, rate, target_loss, max_overshoot, forget_examples),
            continues=continues,
            choice=choice.choice(),
            runtime=run.runtime(progress),
        )
    if out.json:
        out.json_object(result)
        return
    out.facts(
        {
            "state": result.state,
            "examples": result.examples,
            "method": result.method,
            "statistics": result.statistics,
            "salt": result.salt,
            "continues": result.continues,
        }
    )


def list_requests(*, state: StateArgument, show: ShowOptions) -> None:
    """List the requests of a state, one a line."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.listing import list_requests as stage

        result = stage(state)
    if out.json:
        out.json_object(result)
        return
    columns = ("request", "time", "examples", "before", "in all", "rate", "forget loss")
    out.table(
        columns,
        [
            (
                r.request_id,
                r.time,
                r.examples,
                r.before,
                r.in_all,
                "-" if r.rate is None else r.rate,
                f"{_loss(r.loss_before)} -> {_loss(r.loss_after)}",
            )
            for r in result.requests
        ],
    )


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def show_request(
    *,
    state: StateArgument,
    request_id: Annotated[str, argument(metavar="NAME", help="Name of the request.")],
    show: ShowOptions,
) -> None:
    """Show what the ledger says of one request, as JSON."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.listing import show_request as stage

        result = stage(state, request_id)
    out.json_object(result)


def verify(*, state: StateArgument, show: ShowOptions) -> None:
    """Verify the ledger's chain, and the hash of every file that it names; exit 4 if anything is amiss."""
    out = show.output()
    with out.working():
        from speu_cli.stages.requests.verify import verify_requests as stage

        result = stage(state)
    _show_verified(out, result)
    _refuse_what_is_wrong(result)


def _show_verified(out: Output, result: "VerifyResult") -> None:
    if out.json:
        out.json_object(result)
        return
    out.facts(
        {
            "state": result.state,
            "entries": result.entries,
            "head": result.head,
            "as recorded": result.checked,
            "not there": result.gone or None,
            "wrong": result.wrong or None,
        }
    )


def _refuse_what_is_wrong(result: "VerifyResult") -> None:
    """End with an error if anything is amiss.

    Raises:
        ArtifactError: Something is not what the ledger says.
    """
    if result.wrong:
        from speu_cli.errors import ArtifactError

        raise ArtifactError(
            f"{len(result.wrong)} of the files are not what the ledger says: {result.wrong[0]}"
        )
