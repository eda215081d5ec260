"""``speu unlearn --state``: the next request of a state (Eq. 12)."""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from speu_cli.artifacts.format import FORMAT_VERSION, library_versions
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.write import (
    check_checkpoint_output,
    identify_as_stored,
    read_record,
    write_checkpoint,
)
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import read_ids
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import read_mask
from speu_cli.masks.importance import curvature_scale
from speu_cli.masks.rearrangement import rearrange
from speu_cli.stages.request import Flags, open_with_statistics, sums_of_forgotten, wanted_of
from speu_cli.stages.requests.asked import Asked, asked_of, served_before
from speu_cli.stages.requests.method import method_of
from speu_cli.stages.requests.start import MASK_NAME
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.step import settle_rate
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoding import Encoded
from speu_cli.unlearning.forget_examples import enter_step
from speu_cli.unlearning.rate import Rate
from speu_cli.unlearning.requests.forgotten import Forgotten, read_forgotten, write_forgotten
from speu_cli.unlearning.requests.ledger import Entry, Ledger
from speu_cli.unlearning.requests.state import SETTINGS, State, open_state
from speu_cli.unlearning.second_order import second_order_direction
from speu_cli.unlearning.settings import StepSettings

IN_MODEL = ("model_before", "model_after", "statistics", "method", "rate", "remaining", "in_all", "versions")


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
        method: ``spe-so`` or ``so``.
        rate: η of the newly forgotten examples; None if there are none.
        loss_before: Mean loss of the newly forgotten examples at θ*; None if there are none.
        loss_after: At the new model.
        selected: Units that may change, of all units, by kind.
        parameters_changed: Parameter entries in the selected slices.
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
    method: str
    rate: float | None
    loss_before: float | None
    loss_after: float | None
    selected: dict[str, tuple[int, int]]
    parameters_changed: int
    ledger_head: str
    notes: list[str]
    seconds: float


def serve(
    state: Path,
    forget: str,
    output: Path | None,
    *,
    request_id: str | None = None,
    rate: float | None = None,
    dry_run: bool = False,
    runtime: Runtime | None = None,
) -> ServedResult:
    """Forget further examples: everything at θ*, with the sums of all that were forgotten before (Eq. 12).

    The model reads the examples of this request alone; neither the remaining examples nor those forgotten
    before. A run that ends at any moment leaves the request undone or done, never in between: it is done
    once its entry is in the ledger.

    Args:
        state: Folder of the state.
        forget: Id list of the request.
        output: Checkpoint folder to write; may be None for a dry run.
        request_id: Names the request. Default: the next free number of the year.
        rate: η. Default: as the state says.
        dry_run: Do everything but write.
        runtime: Where to run.

    Returns:
        What was done.

    Raises:
        InputError: There is nowhere to write.
    """
    runtime, now = runtime or Runtime(), datetime.now(UTC)
    if output is None and not dry_run:
        raise InputError("no output folder was named", hint="name one with -o, or look first with --dry-run")
    with open_state(state) as opened:
        asked = asked_of(opened, read_ids(forget), request_id, now)
        if (done := served_before(opened, asked)) is not None:
            return _already_done(asked, done, output, opened.ledger.head)
        theirs = _is_of_request(output, opened, asked)
        if output is not None and not dry_run:
            settings = opened.settings
            inputs = (settings.model, settings.fisher, settings.data, forget, state)
            check_checkpoint_output(output, force=runtime.force or theirs, inputs=inputs)
        service = _Service(opened, asked, runtime)
        step = service.step(rate)
        if output is None or dry_run:
            return service.result(step, None, opened.ledger, dry_run=True)
        ledger = service.write(step, output, now, force=runtime.force or theirs)
        return service.result(step, output, ledger, dry_run=False)


@dataclass(frozen=True)
class _Step:
    """What a request does to the model, which has been moved.

    Attributes:
        mask: Which units may change.
        parameters: Parameter entries in their slices.
        forgotten: Sums over all forgotten examples, those of this request among them.
        remaining: n_r.
        rate: η of the new examples; None if there are none.
        loss_before: Mean loss of the new examples at θ*; None if there are none.
        loss_after: At the new model.
        seconds: Time from the loaded model.
    """

    mask: Mask
    parameters: int
    forgotten: Forgotten
    remaining: int
    rate: float | None
    loss_before: float | None
    loss_after: float | None
    seconds: float


class _Service:
    """One request on an open state.

    Args:
        state: The state.
        asked: The request.
        runtime: Where to run.

    Raises:
        ArtifactError: Model or statistics are not those of the state.
    """

    def __init__(self, state: State, asked: Asked, runtime: Runtime) -> None:
        self._state, self._asked = state, asked
        settings = state.settings
        self._method = method_of(settings.method, state.folder / SETTINGS)
        self._session, self._file = open_with_statistics(
            Path(settings.model), Path(settings.fisher), DataChoice(), runtime
        )
        self._session.checkpoint.identity.require_same(
            ModelIdentity(**settings.identity), str(state.folder / SETTINGS)
        )
        if self._file.digest != settings.statistics:
            raise ArtifactError(
                f"{settings.fisher} is not the statistics file of this state: its sha256 is "
                f"{self._file.digest[:12]}, expected {settings.statistics[:12]}",
                hint="put back the file that the state was made with",
            )

    def step(self, rate: float | None) -> _Step:
        """Compute the step of this request with all before, and move the model."""
        started = time.perf_counter()
        session, settings = self._session, self._method.with_rate(rate)
        encoded = session.encode(self._new_examples())
        losses = session.outcomes(encoded, "forget losses").losses
        enters = enter_step(losses, settings.forget_examples, settings.target_loss)
        before, new = self._sums_before(), self._sums(encoded, enters)
        together = new if before is None else before + new
        remaining = together.remaining(self._file.statistics, self._state.settings.examples)
        if not remaining.count > 0:
            raise InputError("nothing would remain", hint="retrain without the forgotten examples")
        mask = self._mask(together, remaining)
        found = self._rate(encoded, before, new, remaining, mask, settings)
        rated = new.at_rate(found.value if found else 0.0)
        forgotten = rated if before is None else before + rated
        # In one step from θ*, so that equal sums give equal bits.
        direction = second_order_direction(forgotten.in_step, remaining, mask, damping=settings.damping)
        direction.apply(session.checkpoint.model, 1.0)
        return _Step(
            mask=mask,
            parameters=direction.size,
            forgotten=forgotten,
            remaining=remaining.count,
            rate=found.value if found else None,
            loss_before=float(losses.mean()) if found else None,
            loss_after=found.loss if found else None,
            seconds=time.perf_counter() - started,
        )

    def _new_examples(self) -> Examples:
        """The examples to forget, which have to be as the statistics know them."""
        found = self._session.read(self._state.settings.data).select(sorted(self._asked.new.values()))
        odd = ~np.isin(found.row_hashes(), self._file.rows)
        if odd.any():
            raise ArtifactError(
                f"{odd.sum()} of the {len(found)} examples are not, or not with this text and label, in the "
                "training set that the statistics are of",
                hint="give the data that 'speu fisher' read",
            )
        return found

    def _sums(self, encoded: Encoded, enters: Flags) -> Forgotten:
        """Sums over the new examples."""
        session, file = self._session, self._file
        parameters = dict.fromkeys(session.layout.parameters)
        wanted = wanted_of(file, parameters, mask_statistics=self._method.name == "spe-so")
        counted = np.isin(encoded.keys.numpy(), file.rows[file.used])
        sums = sums_of_forgotten(session, encoded, wanted, enters, counted)
        return Forgotten.of(len(encoded), sums.counted, sums.in_step)

    def _sums_before(self) -> Forgotten | None:
        """Sums over what earlier requests forgot, if there were any."""
        if not self._state.requests:
            return None
        last = self._state.requests[-1]
        path, identity = self._state.sums(last.number), self._session.checkpoint.identity
        return read_forgotten(path, last.record["sums"], identity, self._file.statistics)

    def _mask(self, forgotten: Forgotten, remaining: Statistics) -> Mask:
        """Mask of ones, or what was selected before any request, rearranged for all of them (Eq. 9)."""
        layout = self._session.layout
        if self._method.name == "so":
            return Mask.ones(layout)
        selected, _ = read_mask(self._state.folder / MASK_NAME, self._session.checkpoint.identity, layout)
        c = curvature_scale(self._method.mask.curvature, remaining.count)
        u = forgotten.in_step.mask_gradient
        return rearrange(selected, u, remaining, c, rounds=self._method.mask.rounds).mask

    def _rate(
        self,
        encoded: Encoded,
        before: Forgotten | None,
        new: Forgotten,
        remaining: Statistics,
        mask: Mask,
        settings: StepSettings,
    ) -> Rate | None:
        """The rate of the new examples, from where the earlier requests lead; None if there are none."""
        if not len(encoded):
            return None
        damping, model = settings.damping, self._session.checkpoint.model
        direction = second_order_direction(new.in_step, remaining, mask, damping=damping)
        with ExitStack() as stack:
            if before is not None:
                earlier = second_order_direction(before.in_step, remaining, mask, damping=damping)
                stack.enter_context(earlier.applied(model, 1.0))
            return settle_rate(self._session, encoded, remaining.count, direction, settings)

    def write(self, step: _Step, output: Path, now: datetime, *, force: bool) -> Ledger:
        """Write the model and the sums, and then the entry that makes them count.

        Args:
            step: What was done.
            output: Folder of the new model.
            now: The time.
            force: The folder may be replaced.

        Returns:
            The ledger with the entry.
        """
        state, identity = self._state, identify_as_stored(self._session.checkpoint)
        entry = self._entry(step, identity, now) | {"output": str(output.resolve())}
        of_request = {"id": self._asked.request_id, "ledger_head": state.ledger.head}
        shown = {"format": "speu", "version": FORMAT_VERSION, "kind": "unlearning", "request": of_request}
        encoding = {"encoding": self._file.settings.to_record()}
        record = shown | encoding | {key: entry[key] for key in IN_MODEL}
        write_checkpoint(self._session.checkpoint, output, record, force=force)
        sums = write_forgotten(
            state.sums(len(state.ledger.entries)),
            step.forgotten,
            self._session.checkpoint.identity,
            self._file.digest,
        )
        return state.ledger.append(entry | {"sums": sums})

    def _entry(self, step: _Step, identity: ModelIdentity, now: datetime) -> dict[str, Any]:
        """What the ledger says of the request, as JSON values."""
        state, asked = self._state, self._asked
        return {
            "kind": "request",
            "id": asked.request_id,
            "time": now.isoformat(timespec="seconds"),
            "forget": {
                "ids": sorted(asked.new),
                "count": len(asked.new),
                "before": asked.before,
                "asked_sha256": asked.digest,
            },
            "in_all": step.forgotten.examples,
            "remaining": step.remaining,
            "method": self._method.record(),
            "rate": step.rate,
            "model_before": state.last_model,
            "model_after": asdict(identity),
            "statistics": self._file.digest,
            "losses": {"before": step.loss_before, "after": step.loss_after},
            "selected": step.mask.counts(),
            "parameters_changed": step.parameters,
            "versions": library_versions(),
        }

    def result(self, step: _Step, output: Path | None, ledger: Ledger, *, dry_run: bool) -> ServedResult:
        """Put together what is told of the request."""
        asked = self._asked
        return ServedResult(
            output=output,
            dry_run=dry_run,
            request_id=asked.request_id,
            number=len(self._state.ledger.entries),
            already_done=False,
            forget_examples=asked.count,
            forgotten_before=asked.before,
            forgotten_in_all=step.forgotten.examples,
            remaining_examples=step.remaining,
            method=self._method.name,
            rate=step.rate,
            loss_before=step.loss_before,
            loss_after=step.loss_after,
            selected=step.mask.counts(),
            parameters_changed=step.parameters,
            ledger_head=ledger.head,
            notes=_notes(asked),
            seconds=step.seconds,
        )


def _notes(asked: Asked) -> list[str]:
    if not asked.before:
        return []
    return [f"{asked.before} of {asked.count} examples were forgotten before: they are not counted twice"]


def _is_of_request(output: Path | None, state: State, asked: Asked) -> bool:
    """Whether a folder was written for this very request, by a run that ended before it was recorded."""
    if output is None or not output.is_dir():
        return False
    record = read_record(output) or {}
    return record.get("request") == {"id": asked.request_id, "ledger_head": state.ledger.head}


def _already_done(asked: Asked, done: Entry, output: Path | None, head: str) -> ServedResult:
    """Tell of a request that was served before.

    Args:
        asked: The request.
        done: Its entry.
        output: Where its model is said to be.
        head: Hash of the last entry.

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
        method=record["method"]["name"],
        rate=record["rate"],
        loss_before=record["losses"]["before"],
        loss_after=record["losses"]["after"],
        selected={kind: (part, of) for kind, (part, of) in record["selected"].items()},
        parameters_changed=record["parameters_changed"],
        ledger_head=head,
        notes=[f"request {asked.request_id} was served before: nothing was done"],
        seconds=0.0,
    )
