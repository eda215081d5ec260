"""A request's forget set: its statistics, and by subtraction those of the remaining set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

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
from speu_cli.statistics.wanted import Part, Wanted
from speu_cli.tasks.base import Loss
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.forget_examples import ForgetExamples, enter_step

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ForgetSet:
    """The forget set of a request, before any statistics of it.

    Attributes:
        encoded: D_f.
        losses: The original model's losses on it, float64 ``[n_f]``.
        enters: Whose gradients enter the step, bool ``[n_f]``.
        counted: Who is in the training set's statistics, bool ``[n_f]``.
        training: D, as it was read: the model has seen none of the rest of it.
        remaining: n_r.
        record: Number of the forget examples and a hash of their ids, for records.
    """

    encoded: Encoded
    losses: npt.NDArray[np.float64]
    enters: Flags
    counted: Flags
    training: Examples
    remaining: int
    record: dict[str, Any]

    @property
    def in_step(self) -> Encoded:
        """Those whose gradients enter the step."""
        return self.encoded.select(np.flatnonzero(self.enters).tolist())


@dataclass(frozen=True)
class Request:
    """What is known of a request before any mask or step.

    Attributes:
        encoded: The forget set D_f.
        in_step: Statistics of the examples that enter the step: g_f and u_f.
        remaining: S(D_r) = S(D) − S(D_f); D_r itself is never read by the model.
        forget_record: Number of the forget examples and a hash of their ids, for records.
    """

    encoded: Encoded
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

    Raises:
        ArtifactError: The file is a shard.
    """
    file = read_statistics(fisher)
    if file.shard is not None:
        raise ArtifactError(
            f"{fisher} is shard {file.shard.index} of {file.shard.of}, expected statistics of the whole",
            hint="merge first with 'speu merge'",
        )
    session = open_session(model, choice, runtime, recorded=file.settings, source=str(fisher))
    check_statistics(file, fisher, session.checkpoint, session.layout)
    return session, file


def require_mask_statistics(file: StatisticsFile, path: Path) -> None:
    """Refuse statistics that no mask can be made from.

    Args:
        file: The statistics.
        path: Where they were read from.

    Raises:
        ArtifactError: They have nothing of the mask variables.
    """
    if not file.collected.mask_statistics:
        raise ArtifactError(
            f"{path} holds no statistics of the mask variables, expected them to choose units by",
            hint="compute them with 'speu fisher' without --mask",
        )


def require_parameters(file: StatisticsFile, path: Path) -> None:
    """Refuse statistics that no step can be made from.

    Args:
        file: The statistics.
        path: Where they were read from.

    Raises:
        ArtifactError: They have nothing of the parameters.
    """
    if not file.collected.parameters:
        raise ArtifactError(
            f"{path} holds the statistics of the mask variables only, expected those of the parameters",
            hint="make a mask of them with 'speu mask', and compute its part of the parameters' with "
            "'speu fisher --mask'",
        )


def wanted_of(
    file: StatisticsFile, parameters: Mapping[str, Part | None], *, mask_statistics: bool
) -> Wanted:
    """What to collect of a forget set, so that it can be subtracted from what a file holds.

    Args:
        file: Statistics of the training set.
        parameters: Those that F and g are needed of, whole or in part as they are in the file.
        mask_statistics: Whether u and B are needed.

    Returns:
        The wish; it samples what the file has a sample of.
    """
    whole = [len(block) for block in file.statistics.mask_fisher.values() if block.ndim > 1]
    return Wanted(
        parameters,
        mask_statistics=mask_statistics,
        sampled=file.statistics.sampled,
        most_units=max(whole, default=0),
    )


def with_directions(wanted: Wanted, file: StatisticsFile) -> Wanted:
    """Collect the directions too that a file has, over those of its sample.

    Args:
        wanted: What is collected besides.
        file: Statistics of the training set.

    Returns:
        The wish.
    """
    directions = file.collected.directions
    if directions is None:
        return wanted
    return replace(
        wanted, directions=directions, directed=directions.sample(torch.from_numpy(file.rows[file.used]))
    )


def require_directions(file: StatisticsFile, path: Path) -> None:
    """Refuse statistics that have no directions to hold.

    Args:
        file: The statistics.
        path: Where they were read from.

    Raises:
        ArtifactError: They have none.
    """
    if file.collected.directions is None:
        raise ArtifactError(
            f"{path} holds no directions, expected some for --hold-directions",
            hint="compute them with 'speu fisher --directions auto', or leave --hold-directions out",
        )


def open_forget_set(
    session: Session,
    file: StatisticsFile,
    data: str,
    forget: str,
    *,
    forget_examples: ForgetExamples,
    unseen_loss: float | None,
) -> ForgetSet:
    """Read a forget set, and see what the model makes of it.

    Args:
        session: The model.
        file: Statistics of the training set.
        data: The training set, or at least all its rows.
        forget: Id list of the forget set.
        forget_examples: Which of its examples enter the step.
        unseen_loss: Mean loss of unseen examples, where it is known.

    Returns:
        The forget set.
    """
    training = training_rows(session.read(data), file)
    forgotten, remaining = forget_and_remaining(training, read_ids(forget), forget)
    encoded = session.encode(forgotten)
    losses = session.losses(encoded, "forget losses")
    ids = sorted(forgotten.ids)
    return ForgetSet(
        encoded=encoded,
        losses=losses,
        enters=enter_step(losses, forget_examples, unseen_loss),
        counted=file.used[training.positions(forgotten.ids)],
        training=training,
        remaining=len(remaining),
        record={"count": len(ids), "ids_sha256": hash_text(canonical_json(ids))},
    )


def open_request(session: Session, file: StatisticsFile, forget: ForgetSet, wanted: Wanted) -> Request:
    """Compute the statistics of a forget set (lines 7–11 of Algorithm 1) and subtract them.

    Args:
        session: The model.
        file: Statistics of the training set.
        forget: The forget set.
        wanted: Which of the file's statistics the request needs.

    Returns:
        The request.

    Raises:
        InputError: The statistics sum over forget examples only.
    """
    sums = sums_of_forgotten(session, forget.encoded, wanted, forget.enters, forget.counted)
    left = _needed(file.statistics, wanted) - sums.counted
    if not left.count:
        raise InputError(
            "the statistics sum over forget examples only, nothing remains", hint="use more examples"
        )
    return Request(
        encoded=forget.encoded,
        in_step=sums.in_step,
        remaining=left.scaled_to(forget.remaining),
        forget_record=forget.record,
    )


@dataclass(frozen=True)
class ForgetSums:
    """Statistics of a forget set.

    Attributes:
        in_step: Of the examples whose gradients enter the step.
        counted: Of those in the training set's statistics.
    """

    in_step: Statistics
    counted: Statistics


def sums_of_forgotten(
    session: Session, encoded: Encoded, wanted: Wanted, enters: Flags, counted: Flags
) -> ForgetSums:
    """Compute the statistics of a forget set (lines 7–11 of Algorithm 1), each example once.

    Args:
        session: The model.
        encoded: The forget set.
        wanted: Which statistics.
        enters: Whose gradients enter the step, bool ``[n_f]``.
        counted: Who is in the training set's statistics, bool ``[n_f]``.

    Returns:
        The sums.
    """
    # Disjoint parts of D_f: sums add up, and what is empty is not made.
    parts = {
        (step, used): statistics_of(session, encoded.select(members.tolist()), wanted)
        for step in (True, False)
        for used in (True, False)
        if len(members := np.flatnonzero((enters == step) & (counted == used)))
    }

    def sum_of(chosen: list[Statistics]) -> Statistics:
        return reduce(add, chosen) if chosen else statistics_of(session, encoded.select([]), wanted)

    return ForgetSums(
        in_step=sum_of([part for (step, _), part in parts.items() if step]),
        counted=sum_of([part for (_, used), part in parts.items() if used]),
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
    chosen = [ids[position[row]] for row in file.rows.tolist()]
    return examples.select(chosen, why="the statistics exclude them")


def _needed(statistics: Statistics, wanted: Wanted) -> Statistics:
    """The part of a file's sums that a request needs; parameters are there whole or in part as wanted."""
    needed = Statistics(
        statistics.count,
        fisher={name: statistics.fisher[name] for name in wanted.parameters},
        gradient={name: statistics.gradient[name] for name in wanted.parameters},
        mask_gradient={},
        mask_fisher={},
    )
    if wanted.directions is not None:
        along = {name: statistics.directions[name] for name in wanted.parameters}
        needed = replace(needed, directions=along, direction_weights=statistics.direction_weights)
    if not wanted.mask_statistics:
        return needed
    return replace(
        needed,
        mask_gradient=statistics.mask_gradient,
        mask_fisher=statistics.mask_fisher,
        mask_rows=statistics.mask_rows,
        sampled=statistics.sampled,
    )


def statistics_of(
    session: Session,
    encoded: Encoded,
    wanted: Wanted,
    description: str = "forget statistics",
    dtype: torch.dtype = torch.float64,
    loss: Loss | None = None,
) -> Statistics:
    """Compute the statistics of examples, once each.

    Args:
        session: The model.
        encoded: The examples.
        wanted: Which statistics.
        description: What the progress is called.
        dtype: Of the sums.
        loss: What is differentiated. Default: the loss of the task.

    Returns:
        The sums.
    """
    return collect(
        session.checkpoint.model,
        session.layout,
        session.task,
        encoded,
        batch_tokens=session.runtime.batch_tokens,
        wanted=wanted,
        progress=session.runtime.progress,
        description=description,
        dtype=dtype,
        loss=loss,
    ).statistics
