"""What is told of a request: of one that was served just now, or before."""

from dataclasses import dataclass
from pathlib import Path

from speu_cli.checkpoints.write import read_record
from speu_cli.errors import InputError
from speu_cli.stages.requests.asked import Asked
from speu_cli.stages.requests.step import RequestStep
from speu_cli.unlearning.requests.capacity import Capacity, reached
from speu_cli.unlearning.requests.ledger import Entry
from speu_cli.unlearning.requests.state import State


@dataclass(frozen=True)
class ServedResult:
    """What was done, or with a dry run what would be.

    Attributes:
        output: The new checkpoint folder; None for a dry run without one.
        dry_run: Nothing was written.
        request_id: Names the request.
        number: Of its entry in the ledger.
        already_done: The same request was served before: nothing was done.
        forget_examples: Ids that were asked for.
        forgotten_before: Those of them that earlier requests had forgotten.
        forgotten_in_all: After this request.
        remaining_examples: n_r.
        mode: ``aided`` or ``free``.
        method: ``spe-so`` or ``so``.
        rate: η of the newly forgotten examples; None if there are none.
        loss_before: Mean loss of the newly forgotten examples at the model that the request starts from (θ*
            where requests are memory-aided); None if there are none.
        loss_after: At the new model.
        selected: Units that may change, of all units, by kind.
        parameters_changed: Parameter entries in the selected slices.
        capacity: Drift, share and watched losses of the new model, against θ*.
        retrain: The thresholds of ``--retrain-when`` that it has reached.
        ledger_head: Hash of the last entry.
        notes: What is worth knowing.
        seconds: Time from the loaded model to the step.
    """

    output: Path | None
    dry_run: bool
    request_id: str
    number: int
    already_done: bool
    forget_examples: int
    forgotten_before: int
    forgotten_in_all: int
    remaining_examples: int
    mode: str
    method: str
    rate: float | None
    loss_before: float | None
    loss_after: float | None
    selected: dict[str, tuple[int, int]]
    parameters_changed: int
    capacity: Capacity
    retrain: list[str]
    ledger_head: str
    notes: list[str]
    seconds: float


def served(
    state: State, asked: Asked, step: RequestStep, capacity: Capacity, output: Path | None, notes: list[str]
) -> ServedResult:
    """Tell of a request that was computed, as if nothing of it were written yet.

    Args:
        state: The state before it.
        asked: The request.
        step: What it does.
        capacity: What the new model has borne.
        output: Folder of its model; None if nothing is to be written.
        notes: What is worth knowing.

    Returns:
        The result.
    """
    if asked.before:
        notes = [
            *notes,
            f"{asked.before} of {asked.count} examples were forgotten before: they are not counted twice",
        ]
    return ServedResult(
        output=output,
        dry_run=output is None,
        request_id=asked.request_id,
        number=len(state.ledger.entries),
        already_done=False,
        forget_examples=asked.count,
        forgotten_before=asked.before,
        forgotten_in_all=step.in_all,
        remaining_examples=step.remaining,
        mode=state.settings.mode,
        method=state.settings.method["name"],
        rate=step.rate,
        loss_before=step.loss_before,
        loss_after=step.loss_after,
        selected=step.mask.counts(),
        parameters_changed=step.parameters,
        capacity=capacity,
        retrain=reached(state.settings.retrain_when, capacity),
        ledger_head=state.ledger.head,
        notes=notes,
        seconds=0.0,
    )


def already_done(state: State, asked: Asked, done: Entry, output: Path | None) -> ServedResult:
    """Tell of a request that was served before.

    Args:
        state: The state.
        asked: The request.
        done: Its entry.
        output: Where its model is said to be.

    Returns:
        What was done then.

    Raises:
        InputError: The model is not there.
    """
    record = done.record
    if output is not None and (read_record(output) or {}).get("model_after") != record["model_after"]:
        raise InputError(
            f"request {asked.request_id} was served before, and {output} does not hold its model",
            hint="name the folder that was written then, or leave the request as it is",
        )
    return ServedResult(
        output=output,
        dry_run=False,
        request_id=asked.request_id,
        number=done.number,
        already_done=True,
        forget_examples=asked.count,
        forgotten_before=record["forget"]["before"],
        forgotten_in_all=record["in_all"],
        remaining_examples=record["remaining"],
        mode=state.settings.mode,
        method=record["method"],
        rate=record["rate"],
        loss_before=record["loss_before"],
        loss_after=record["loss_after"],
        selected={kind: (part, of) for kind, (part, of) in record["selected"].items()},
        parameters_changed=record["parameters_changed"],
        capacity=Capacity.of(record["capacity"]),
        retrain=record["retrain"],
        ledger_head=state.ledger.head,
        notes=[f"request {asked.request_id} was served before: nothing was done"],
        seconds=0.0,
    )
