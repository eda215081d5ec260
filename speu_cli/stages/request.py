"""A request's forget set: its statistics, and by subtraction those of the remaining set."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.collector import collect
from speu_cli.statistics.files import StatisticsFile, check_statistics, read_statistics
from speu_cli.statistics.sums import Statistics
from speu_cli.tasks.encoding import Encoded
from speu_cli.tasks.outcomes import Outcomes
from speu_cli.unlearning.forget_examples import ForgetExamples, enter_step


@dataclass(frozen=True)
class Request:
    """What is known of a request before any mask or step.

    Attributes:
        encoded: The forget set D_f.
        before: The original model's outcomes on it.
        in_step: Statistics of the examples that enter the step: g_f and u_f.
        remaining: S(D_r) = S(D) − S(D_f); D_r itself is never read by the model.
        forget_record: Number of the forget examples and a hash of their ids, for records.
    """

    encoded: Encoded
    before: Outcomes
    in_step: Statistics
    remaining: Statistics
    forget_record: dict[str, Any]


def open_with_statistics(
    model: Path, fisher: Path, choice: DataChoice, runtime: Runtime
) -> tuple[Session, StatisticsFile]:
    """Load statistics and the model that they belong to.

    Args:
        model: Checkpoint folder.
        fisher: Statistics file.
        choice: What the caller asked for; must agree with the statistics.
        runtime: Where to run.

    Returns:
        The session, with the statistics' settings, and the statistics.
    """
    file = read_statistics(fisher)
    session = open_session(model, choice, runtime, recorded=file.settings, source=str(fisher))
    check_statistics(file, fisher, session.checkpoint, session.layout)
    return session, file


def open_request(
    session: Session,
    file: StatisticsFile,
    data: str,
    forget: str,
    *,
    forget_examples: ForgetExamples,
    unseen_loss: float | None,
) -> Request:
    """Compute the statistics of a forget set (lines 7–11 of Algorithm 1) and subtract them.

    Args:
        session: The model.
        file: Statistics of the training set.
        data: The training set, or at least all its rows.
        forget: Id list of the forget set.
        forget_examples: Which of its examples enter the step.
        unseen_loss: Mean loss of unseen examples, where it is known.

    Returns:
        The request.

    Raises:
        InputError: The statistics sum over forget examples only.
    """
    training = training_rows(session.read(data), file)
    forgotten, remaining = forget_and_remaining(training, read_ids(forget), forget)
    encoded = session.encode(forgotten)
    before = session.outcomes(encoded, "forget losses")
    enters = enter_step(before.losses, forget_examples, unseen_loss)
    counted = file.used[training.positions(forgotten.ids)]
    # Disjoint parts of D_f: sums add up, so each example is read once, and what is empty is not made.
    parts = {
        (step, used): _statistics(session, encoded.select(members.tolist()))
        for step in (True, False)
        for used in (True, False)
        if len(members := np.flatnonzero((enters == step) & (counted == used)))
    }

    def sum_of(chosen: list[Statistics]) -> Statistics:
        return reduce(add, chosen) if chosen else _statistics(session, encoded.select([]))

    left = file.statistics - sum_of([part for (_, used), part in parts.items() if used])
    if not left.count:
        raise InputError(
            "the statistics sum over forget examples only, nothing remains", hint="use more examples"
        )
    ids = sorted(forgotten.ids)
    return Request(
        encoded=encoded,
        before=before,
        in_step=sum_of([part for (step, _), part in parts.items() if step]),
        remaining=left.scaled_to(len(remaining)),
        forget_record={"count": len(ids), "ids_sha256": hash_text(canonical_json(ids))},
    )


def training_rows(examples: Examples, file: StatisticsFile) -> Examples:
    """The rows that the statistics were computed from, in the order of the statistics file.

    Args:
        examples: Rows of a data source.
        file: Knows the rows by their hashes.

    Returns:
        D.

    Raises:
        ArtifactError: Rows of D are missing from the source, or changed.
    """
    position = {row: number for number, row in enumerate(examples.row_hashes().tolist())}
    missing = sum(row not in position for row in file.rows.tolist())
    if missing:
        raise ArtifactError(
            f"the statistics are of other data: {missing} of their {len(file.rows)} rows are not in "
            f"{examples.source}, or not with the same id, text and label",
            hint="give the data that 'speu fisher' read, or compute the statistics again",
        )
    ids = examples.ids
    return examples.select([ids[position[row]] for row in file.rows.tolist()])


def _statistics(session: Session, encoded: Encoded) -> Statistics:
    return collect(
        session.checkpoint.model,
        session.layout,
        session.task,
        encoded,
        batch_tokens=session.runtime.batch_tokens,
        progress=session.runtime.progress,
        description="forget statistics",
    ).statistics
