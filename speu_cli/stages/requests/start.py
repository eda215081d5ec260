"""``speu requests init``: a state that requests to one model are served from."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from speu_cli.artifacts.atomic import check_output
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError
from speu_cli.masks.files import MaskOrigin, write_mask
from speu_cli.masks.importance import Curvature
from speu_cli.masks.localization import MaskSettings, localize_before_request
from speu_cli.stages.request import (
    open_with_statistics,
    require_mask_statistics,
    require_parameters,
    training_rows,
)
from speu_cli.stages.requests.method import StateMethod
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.unlearn import Method
from speu_cli.unlearning.forget_examples import ForgetExamples
from speu_cli.unlearning.requests.ledger import read_ledger
from speu_cli.unlearning.requests.state import LEDGER, MASK, SALT, StateSettings, new_state, settle
from speu_cli.unlearning.settings import StepSettings


@dataclass(frozen=True)
class StartResult:
    """A new state.

    Attributes:
        state: Its folder.
        examples: n_D.
        method: ``spe-so`` or ``so``.
        statistics: Digest of the statistics.
        salt: File of the salt, which has to be kept.
        continues: Head of the ledger that it follows, or None.
    """

    state: Path
    examples: int
    method: Method
    statistics: str
    salt: Path
    continues: str | None


@dataclass(frozen=True)
class StepChoice:
    """How steps are made, as asked for.

    Attributes:
        damping: As in :class:`~speu_cli.unlearning.settings.StepSettings`, like all others.
        rate: η; None = found in each request.
        target_loss: Default: that of the statistics' held-out set.
        max_overshoot: Likewise.
        forget_examples: Likewise.
    """

    damping: float = 0.1
    rate: float | None = None
    target_loss: float | None = None
    max_overshoot: float = 2.0
    forget_examples: ForgetExamples = "all"

    def settings(self, unseen_loss: float | None) -> StepSettings:
        """Settle what unseen examples look like."""
        target = self.target_loss if self.target_loss is not None else unseen_loss
        return StepSettings(self.damping, self.rate, target, self.max_overshoot, self.forget_examples)


def start_requests(
    state: Path,
    model: Path,
    fisher: Path,
    data: str,
    *,
    method: Method = "spe-so",
    sparsity: float = 0.9,
    kinds: str = "both",
    curvature: Curvature = "total",
    rounds: int | None = None,
    step: StepChoice | None = None,
    continues: Path | None = None,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> StartResult:
    """Make a state: settle model, statistics and method, and choose the units to begin with (Eq. 13).

    Args:
        state: Folder to make.
        model: Folder of θ*.
        fisher: Its statistics, of whole parameters.
        data: Its training set.
        method: ``spe-so``, or ``so`` with a mask of ones.
        sparsity: S of the units.
        kinds: ``heads``, ``filters`` or ``both``.
        curvature: ``total`` or ``mean``.
        rounds: Most rounds of rearrangement.
        step: How the steps are made.
        continues: State of the model before the last retraining.
        choice: Columns, split, task and length; must agree with the statistics.
        runtime: Where to run.

    Returns:
        What was made.

    Raises:
        ArtifactError: The statistics hold the slices of one mask only.
    """
    runtime, mask = runtime or Runtime(), MaskSettings(sparsity, kinds, curvature, rounds)
    check_output(state, force=False, folder=True, inputs=(model, fisher, data, continues))
    head = read_ledger(continues / LEDGER).head if continues else None
    session, file = open_with_statistics(model, fisher, choice or DataChoice(), runtime)
    require_parameters(file, fisher)
    if file.collected.mask is not None:
        raise ArtifactError(
            f"{fisher} holds the slices of one mask only, expected whole parameters",
            hint="compute statistics without --mask: each request chooses its own units",
        )
    if method == "spe-so":
        require_mask_statistics(file, fisher)
    training_rows(session.read(data), file)
    settled = StateMethod(method, mask, (step or StepChoice()).settings(file.unseen_loss))
    with new_state(state) as (unfinished, salt):
        digest = None
        if method == "spe-so":
            # Only selected: what is swapped depends on the request (Eq. 9).
            chosen = localize_before_request(file.statistics, session.layout, replace(mask, rounds=0))
            origin = MaskOrigin(session.checkpoint.identity, file.digest, None)
            digest = write_mask(unfinished / MASK, chosen, mask, origin, force=False)
        settings = StateSettings(
            model=str(model.resolve()),
            identity=asdict(session.checkpoint.identity),
            fisher=str(fisher.resolve()),
            statistics=file.digest,
            data=data if data.startswith("hub:") else str(Path(data).resolve()),
            split=choice.split if choice else None,
            examples=len(file.rows),
            method=settled.record(),
            salt=salt.fingerprint,
            continues=head,
        )
        settle(unfinished, settings, digest)
    return StartResult(state, len(file.rows), method, file.digest, state / SALT, head)
