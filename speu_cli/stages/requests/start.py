"""``speu requests init``: a state that requests to one model are served from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

from speu_cli.artifacts.atomic import check_output
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import MaskOrigin, write_mask
from speu_cli.masks.localization import MaskSettings, localize_before_request, note_on_units
from speu_cli.stages.request import (
    open_with_statistics,
    require_directions,
    require_mask_statistics,
    require_parameters,
    training_rows,
)
from speu_cli.stages.requests.method import StateMethod
from speu_cli.stages.requests.watch import choose_watched
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session
from speu_cli.stages.unlearn import SecondOrder
from speu_cli.statistics.files import StatisticsFile
from speu_cli.unlearning.forget_examples import ForgetExamples
from speu_cli.unlearning.requests.capacity import thresholds
from speu_cli.unlearning.requests.ledger import read_ledger
from speu_cli.unlearning.requests.settled import Mode, StateSettings
from speu_cli.unlearning.requests.state import (
    LEDGER,
    MASK,
    SALT,
    WATCHED,
    new_state,
    settle,
)
from speu_cli.unlearning.requests.watched import write_watched
from speu_cli.unlearning.settings import StepSettings

WATCH = 256


@dataclass(frozen=True)
class StartResult:
    """A new state.

    Attributes:
        state: Its folder.
        examples: n_D.
        mode: ``aided`` or ``free``.
        method: ``spe-so`` or ``so``.
        statistics: Digest of the statistics.
        salt: File of the salt, which has to be kept.
        holdout_examples: Held-out examples whose losses are watched.
        remaining_examples: Training examples whose losses are watched.
        continues: Head of the ledger that it follows, or None.
    """

    state: Path
    examples: int
    mode: Mode
    method: SecondOrder
    statistics: str
    salt: Path
    holdout_examples: int
    remaining_examples: int
    continues: str | None


@dataclass(frozen=True)
class WatchChoice:
    """What is watched while requests come.

    Attributes:
        holdout: Examples never trained on.
        examples: Most held-out, and most training examples whose losses are told with every request.
        retrain_when: Thresholds such as ``drift.share>0.01`` at which to advise retraining.
    """

    holdout: str | None = None
    examples: int = WATCH
    retrain_when: Sequence[str] = ()


@dataclass(frozen=True)
class StepChoice:
    """How steps are made, as asked for.

    Attributes:
        damping: As in :class:`~speu_cli.unlearning.settings.StepSettings`, like all others.
        rate: η; None = found in each request.
        target_loss: Default: that of the statistics' held-out set.
        max_overshoot: Likewise.
        forget_examples: Likewise.
        stiffness: Likewise.
    """

    damping: float = 0.1
    rate: float | None = None
    target_loss: float | None = None
    max_overshoot: float = 2.0
    forget_examples: ForgetExamples = "all"
    stiffness: float | None = None

    def settings(self, unseen_loss: float | None) -> StepSettings:
        """Settle what unseen examples look like."""
        target = self.target_loss if self.target_loss is not None else unseen_loss
        return StepSettings(
            self.damping, self.rate, target, self.max_overshoot, self.forget_examples, self.stiffness
        )


def start_requests(
    state: Path,
    model: Path,
    fisher: Path,
    data: str,
    *,
    mode: Mode = "aided",
    max_examples: int | None = None,
    method: SecondOrder = "spe-so",
    mask: MaskSettings | None = None,
    step: StepChoice | None = None,
    watch: WatchChoice | None = None,
    continues: Path | None = None,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> StartResult:
    """Make a state: settle model, statistics and method, and choose the units to begin with (Eq. 13).

    Args:
        state: Folder to make.
        model: Folder of θ*.
        fisher: Its statistics, of whole parameters if requests are memory-aided.
        data: Its training set.
        mode: ``aided``: all requests at θ*, with sums of what was forgotten (Eq. 12); ``free``: each from the
            last model, with statistics of what remains (Eq. 11).
        max_examples: With ``free``, most remaining examples that statistics are computed of. Default: all.
        method: ``spe-so``, or ``so`` with a mask of ones.
        mask: How units are chosen.
        step: How the steps are made.
        watch: What is watched.
        continues: State of the model before the last retraining.
        choice: Columns, split, task and length; must agree with the statistics.
        runtime: Where to run.

    Returns:
        What was made.
    """
    runtime, mask, watch = runtime or Runtime(), mask or MaskSettings(), watch or WatchChoice()
    _check_choices(mode, max_examples, watch)
    check_output(state, force=False, folder=True, inputs=(model, fisher, data, watch.holdout, continues))
    head = read_ledger(continues / LEDGER).head if continues else None
    session, file = open_with_statistics(model, fisher, choice or DataChoice(), runtime)
    if mode == "aided":
        _require_whole(file, fisher, method)
    settled = StateMethod(method, mask, (step or StepChoice()).settings(file.unseen_loss))
    if settled.step.stiffness is not None:
        require_directions(file, fisher)
    if method == "spe-so":
        mask.kinds_of(session.layout)
    note = note_on_units(session.layout)
    if note is not None and mask.kinds == "both":
        runtime.progress.note(note)
    training = training_rows(session.read(data), file)
    unseen = session.read_like(training, watch.holdout) if watch.holdout else None
    with new_state(state) as (unfinished, salt):
        watched = choose_watched(session, salt, training, unseen, watch.examples)
        settings = StateSettings(
            model=str(model.resolve()),
            identity=asdict(session.checkpoint.identity),
            fisher=str(fisher.resolve()),
            statistics=file.digest,
            data=_place(data),
            split=choice.split if choice else None,
            examples=len(file.rows),
            holdout=_place(watch.holdout) if watch.holdout else None,
            mode=mode,
            max_examples=max_examples,
            method=settled.record(),
            retrain_when=list(watch.retrain_when),
            salt=salt.fingerprint,
            continues=head,
        )
        selected = mode == "aided" and method == "spe-so"
        settle(
            unfinished,
            settings,
            mask=_write_selected(unfinished, session, file, mask) if selected else None,
            watched=write_watched(unfinished / WATCHED, watched, session.checkpoint.identity),
        )
    return StartResult(
        state=state,
        examples=len(file.rows),
        mode=mode,
        method=method,
        statistics=file.digest,
        salt=state / SALT,
        holdout_examples=len(watched.holdout),
        remaining_examples=len(watched.remaining),
        continues=head,
    )


def _check_choices(mode: Mode, max_examples: int | None, watch: WatchChoice) -> None:
    """Refuse choices that contradict each other.

    Raises:
        InputError: They do.
    """
    if mode not in get_args(Mode):
        raise InputError(f"no mode '{mode}', expected one of {', '.join(get_args(Mode))}")
    if max_examples is not None and mode != "free":
        raise InputError(
            "--max-examples is for --mode free: with aided, no remaining examples are read for the step"
        )
    if max_examples is not None and max_examples < 1:
        raise InputError(f"--max-examples is {max_examples}, expected at least 1")
    if watch.examples < 0:
        raise InputError(f"--watch is {watch.examples}, expected at least 0")
    some = watch.examples > 0
    thresholds(watch.retrain_when, {"holdout": some and watch.holdout is not None, "remaining": some})


def _require_whole(file: StatisticsFile, path: Path, method: SecondOrder) -> None:
    """Refuse statistics that memory-aided requests cannot be served from.

    Raises:
        ArtifactError: They hold the slices of one mask only.
    """
    require_parameters(file, path)
    if file.collected.mask is not None:
        raise ArtifactError(
            f"{path} holds the slices of one mask only, expected whole parameters",
            hint="compute statistics without --mask: each request chooses its own units",
        )
    if method == "spe-so":
        require_mask_statistics(file, path)


def _place(source: str) -> str:
    """A source of examples as it is found from any folder."""
    return source if source.startswith("hub:") else str(Path(source).resolve())


def _write_selected(folder: Path, session: Session, file: StatisticsFile, mask: MaskSettings) -> str:
    """Write the units to begin with (Eq. 13); what is swapped depends on the request (Eq. 9)."""
    chosen = localize_before_request(file.statistics, session.layout, replace(mask, rounds=0))
    origin = MaskOrigin(session.checkpoint.identity, file.digest, None)
    return write_mask(folder / MASK, chosen, mask, origin, force=False)
