"""The losses that are watched while requests come: at θ*, and at every new model."""

from collections.abc import Set

import numpy as np

from speu_cli.data.examples import Examples
from speu_cli.data.selection import sample_flags
from speu_cli.errors import ArtifactError
from speu_cli.stages.requests.asked import Asked
from speu_cli.stages.requests.base import Base
from speu_cli.stages.session import Session
from speu_cli.unlearning.requests.capacity import Capacity, Level, drift
from speu_cli.unlearning.requests.state import WATCHED, State
from speu_cli.unlearning.requests.watched import Sample, Watched, read_watched


def choose_watched(session: Session, training: Examples, holdout: Examples | None, most: int) -> Watched:
    """Choose what is watched, at random, and measure it at θ*.

    Args:
        session: θ*.
        training: D.
        holdout: Examples never trained on, if there are any.
        most: Most examples of each.

    Returns:
        The samples.
    """

    def sample(examples: Examples | None, description: str) -> Sample:
        if examples is None or not most:
            return Sample(np.zeros(0, dtype=np.int64), np.zeros(0))
        chosen = sample_flags(len(examples), most, seed=0)
        picked = examples.select([one for one, flag in zip(examples.ids, chosen, strict=True) if flag])
        losses = session.outcomes(session.encode(picked), description).losses
        return Sample(picked.row_hashes(), losses)

    return Watched(sample(holdout, "held-out losses"), sample(training, "losses of a training sample"))


def capacity_of(state: State, base: Base, examples: Examples, asked: Asked, in_all: int) -> Capacity:
    """Measure what the new model has borne.

    Args:
        state: Knows what is watched.
        base: Its model has been moved.
        examples: What is left of the training set, and maybe more.
        asked: The request.
        in_all: Number of examples that are forgotten now.

    Returns:
        Drift, share and losses.

    Raises:
        ArtifactError: Held-out examples are missing or were changed.
    """
    session, settings = base.session, state.settings
    watched = read_watched(state.folder / WATCHED, state.ledger.entries[0].record["watched"])
    holdout = None
    if settings.holdout is not None and len(watched.holdout):
        holdout = _level(session, watched.holdout, session.read_like(examples, settings.holdout), frozenset())
        if holdout is None or holdout.examples != len(watched.holdout):
            raise ArtifactError(
                f"{settings.holdout} is not the held-out set that the state was made with: rows are missing, "
                "or were changed",
                hint="put back the file that the state was made with",
            )
    gone = state.forgotten | asked.new.keys()
    forgotten = {one for one in examples.ids if state.salt.hash(one) in gone}
    return Capacity(
        drift=drift(session.layout, base.original, session.checkpoint.model),
        forgotten_share=in_all / settings.examples,
        holdout=holdout,
        remaining=_level(session, watched.remaining, examples, forgotten),
    )


def _level(session: Session, sample: Sample, examples: Examples, forgotten: Set[str]) -> Level | None:
    """The loss of a sample's examples, but for those that are forgotten.

    Args:
        session: The new model.
        sample: What is watched, with its losses at θ*.
        examples: Where they are found.
        forgotten: Ids that are.

    Returns:
        The losses; None if nothing is watched any more.
    """
    at_start = dict(zip(sample.rows.tolist(), sample.losses.tolist(), strict=True))
    rows = dict(zip(examples.ids, examples.row_hashes().tolist(), strict=True)) if at_start else {}
    start = {one: at_start[row] for one, row in rows.items() if row in at_start and one not in forgotten}
    if not start:
        return None
    after = session.outcomes(session.encode(examples.select(list(start))), "watched losses").losses
    return Level(len(start), float(np.mean(list(start.values()))), float(after.mean()))
