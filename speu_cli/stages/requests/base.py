"""What a request starts from: a model, and what is known of its training set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import KIND as OF_MASK
from speu_cli.masks.files import read_mask
from speu_cli.stages.request import open_with_statistics
from speu_cli.stages.requests.method import StateMethod, method_of
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.files import StatisticsFile, read_statistics
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.requests.recorded import read_recorded
from speu_cli.unlearning.requests.settled import SETTINGS
from speu_cli.unlearning.requests.state import MASK, State


@dataclass(frozen=True)
class Base:
    """What a request starts from.

    Attributes:
        session: θ* if requests are memory-aided, the model after the last request if they are not.
        file: Statistics of the training set at θ*; of no use but for its rows where requests are not aided.
        method: How requests are served.
        selected: The units of Eq. 13; None with ``so``, and where requests are not aided.
        original: Parameters of θ* that units own parts of, by name.
    """

    session: Session
    file: StatisticsFile
    method: StateMethod
    selected: Mask | None
    original: Mapping[str, Tensor]


def open_base(state: State, model: Path | None, runtime: Runtime) -> Base:
    """Load what the next request starts from.

    Args:
        state: The state.
        model: Where that model is now. Default: where it was.
        runtime: Where to run.

    Returns:
        Model, statistics and method.
    """
    method = method_of(state.settings.method, state.folder / SETTINGS)
    if state.settings.mode == "free":
        return _last(state, model, method, runtime)
    return _first(state, model, method, runtime)


def _first(state: State, model: Path | None, method: StateMethod, runtime: Runtime) -> Base:
    """θ* with its statistics, for a memory-aided request (Eq. 12)."""
    settings = state.settings
    place, choice = _there(model or Path(settings.model)), DataChoice(split=settings.split)
    session, file = open_with_statistics(place, Path(settings.fisher), choice, runtime)
    _require_identity(session, settings.identity, state)
    _require_statistics(file, state)
    selected = _selected(state, session) if method.name == "spe-so" else None
    return Base(session, file, method, selected, _parameters(session))


def _selected(state: State, session: Session) -> Mask:
    """The units that requests start from, which have to be those that the ledger names."""
    path = state.folder / MASK
    read_recorded(path, OF_MASK, state.ledger.entries[0].record["mask"])
    mask, _ = read_mask(path, session.checkpoint.identity, session.layout)
    return mask


def _last(state: State, model: Path | None, method: StateMethod, runtime: Runtime) -> Base:
    """The model after the last request, for a memory-free one (Eq. 11)."""
    settings = state.settings
    last = state.requests[-1].record["output"] if state.requests else settings.model
    place = _there(model or Path(last))
    file = read_statistics(Path(settings.fisher), dtype=torch.float32)
    _require_statistics(file, state)
    choice = DataChoice(split=settings.split)
    session = open_session(place, choice, runtime, recorded=file.settings, source=settings.fisher)
    _require_identity(session, state.last_model, state)
    original = _parameters(session)
    if state.requests:
        first = load_checkpoint(Path(settings.model), dtype=torch.float32)
        first.identity.require_same(ModelIdentity(**settings.identity), str(state.folder / SETTINGS))
        original = {name: first.model.get_parameter(name) for name in session.layout.parameters}
    rows_alone = replace(file, statistics=Statistics(file.statistics.count, {}, {}, {}, {}))
    return Base(session, rows_alone, method, None, original)


def _there(place: Path) -> Path:
    """A model's folder, if it is there.

    Args:
        place: The folder.

    Returns:
        It.

    Raises:
        InputError: There is none.
    """
    if not place.is_dir():
        raise InputError(
            f"model folder not found: {place}, which the request starts from",
            hint="if it was moved, say where it is: speu unlearn MODEL --state …",
        )
    return place


def _parameters(session: Session) -> dict[str, Tensor]:
    """A copy of what steps can move."""
    model = session.checkpoint.model
    return {name: model.get_parameter(name).detach().clone() for name in session.layout.parameters}


def _require_identity(session: Session, identity: Mapping[str, str], state: State) -> None:
    session.checkpoint.identity.require_same(ModelIdentity(**identity), str(state.folder))


def _require_statistics(file: StatisticsFile, state: State) -> None:
    """Refuse another statistics file than the state was made with.

    Raises:
        ArtifactError: It is another one.
    """
    settings = state.settings
    if file.digest != settings.statistics:
        raise ArtifactError(
            f"{settings.fisher} is not the statistics file of this state: its sha256 is "
            f"{file.digest[:12]}, expected {settings.statistics[:12]}",
            hint="put back the file that the state was made with",
        )
