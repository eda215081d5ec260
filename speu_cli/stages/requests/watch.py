"""The losses that are watched while requests come: at θ*, and at every new model."""

from collections.abc import Collection

import numpy as np

from speu_cli.data.examples import Examples
from speu_cli.data.selection import sample_flags
from speu_cli.errors import ArtifactError
from speu_cli.stages.requests.asked import Asked
from speu_cli.stages.requests.base import Base
from speu_cli.stages.session import Session
from speu_cli.unlearning.requests.capacity import Capacity, Level, drift
from speu_cli.unlearning.requests.salt import Salt
from speu_cli.unlearning.requests.state import WATCHED, State
from speu_cli.unlearning.requests.watched import Sample, Watched, read_watched


def choose_watched(
    session: Session, salt: Salt, training: Examples, holdout: Examples | None, most: int
) -> Watched:
    """Choose what is watched, at random, and measure it at θ*.

    Args:
        session: θ*.
        salt: Of the state.
        training: D.
        holdout: Examples never trained on, if there are any.
        most: Most examples of each.

    Returns:
        The samples.
    """

    def sample(examples: Examples | None, description: str) -> Sample:
        if examples is None or not most:
            nothing = np.zeros(0, dtype=np.int64)
            return Sample(nothing, np.zeros(0), nothing)
        flags = sample_flags(len(examples), most, seed=0)
        picked = examples.select([one for one, flag in zip(examples.ids, flags, strict=True) if flag])
        losses = session.losses(session.encode(picked), description)
        return Sample(picked.row_hashes(), losses, np.array([salt.name(one) for one in picked.ids]))

    return Watched(sample(holdout, "held-out losses"), sample(training, "losses of a training sample"))


def watched_of(state: State) -> Watched:
    """What a state watches, as its ledger names it."""
    return read_watched(state.folder / WATCHED, state.ledger.entries[0].record["watched"])


def capacity_of(state: State, base: Base, examples: Examples, asked: Asked, in_all: int) -> Capacity:
    """Measure what the new model has borne.

    Args:
        state: Knows what is watched.
        base: Its model has been moved.
        examples: What is watched of the training set as far as it is left, and maybe more.
        asked: The request.
        in_all: Number of examples that are forgotten now.

    Returns:
        Drift, share and losses.

    Raises:
        ArtifactError: Held-out examples are missing or were changed.
    """
    session, settings = base.session, state.settings
    watched, holdout = watched_of(state), None
    if settings.holdout is not None and len(watched.holdout):
        unseen = session.read_like(examples, settings.holdout)
        holdout = _level(session, watched.holdout, unseen, state.salt)
        if holdout is None or holdout.examples != len(watched.holdout):
            raise ArtifactError(
                f"{settings.holdout} is not the held-out set that the state was made with: rows are missing, "
                "or were changed",
                hint="put back the file that the state was made with",
            )
    gone = state.forgotten | asked.new.keys()
    return Capacity(
        drift=drift(session.layout, base.original, session.checkpoint.model),
        forgotten_share=in_all / settings.examples,
        holdout=holdout,
        remaining=_level(session, watched.remaining, examples, state.salt, gone),
    )


def _level(
    session: Session, sample: Sample, examples: Examples, salt: Salt, gone: Collection[str] = ()
) -> Level | None:
    """The loss of a sample's examples, but for those that are forgotten.

    Args:
        session: The new model.
        sample: What is watched, with its losses at θ*.
        examples: Where they are found.
        salt: Of the state.
        gone: Hashes of the ids that are forgotten.

    Returns:
        The losses; None if nothing is watched any more.
    """
    found = _found(sample, examples, salt)
    start = {one: loss for one, loss in found.items() if salt.hash(one) not in gone}
    if not start:
        return None
    after = session.losses(session.encode(examples.select(list(start))), "watched losses")
    return Level(len(start), float(np.mean(list(start.values()))), float(after.mean()))


def _found(sample: Sample, examples: Examples, salt: Salt) -> dict[str, float]:
    """Losses at θ* by id, of the watched examples that are there."""
    names = set(sample.names.tolist())
    there = examples.select([one for one in examples.ids if salt.name(one) in names])
    at_start = dict(zip(sample.rows.tolist(), sample.losses.tolist(), strict=True))
    rows = there.row_hashes().tolist()
    return {one: at_start[row] for one, row in zip(there.ids, rows, strict=True) if row in at_start}
