"""``speu fisher``: statistics of the training set, once, after training."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speu_cli.artifacts.atomic import check_output
from speu_cli.data.columns import DataChoice
from speu_cli.data.ids import read_ids
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.statistics.collector import collect
from speu_cli.statistics.files import StatisticsFile, write_statistics


@dataclass(frozen=True)
class FisherResult:
    """What was computed.

    Attributes:
        output: The statistics file.
        sha256: Digest of its content.
        examples: Size of the training set D.
        used: Examples in the sums.
        tokens: Tokens read, without padding.
        mean_loss: Of the examples used.
        holdout_examples: Size of the held-out set.
        unseen_loss: Mean loss of the held-out set; None without one.
        seconds: Time of the pass over the training set.
        bytes: Size of the file.
    """

    output: Path
    sha256: str
    examples: int
    used: int
    tokens: int
    mean_loss: float
    holdout_examples: int
    unseen_loss: float | None
    seconds: float
    bytes: int


def fisher(
    model: Path,
    data: str,
    output: Path,
    *,
    holdout: str | None = None,
    ids: str | None = None,
    exclude: str | None = None,
    max_examples: int | None = None,
    seed: int = 0,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> FisherResult:
    """Compute the statistics F, g, u and B of a training set (Eq. 3, lines 2–6 of Algorithm 1).

    Args:
        model: Folder of the fine-tuned checkpoint.
        data: The training set.
        output: Statistics file to write.
        holdout: Unseen examples; their losses are kept, for that is what "forgotten" should look like.
        ids: Id list: only these examples are the training set.
        exclude: Id list: these examples are not in the training set.
        max_examples: Use a random sample of this size for the sums.
        seed: Of the sample.
        choice: Columns, split, task and length, where they should not be found.
        runtime: Device, batch size, overwriting, progress.

    Returns:
        What was computed.
    """
    runtime = runtime or Runtime()
    check_output(output, force=runtime.force, folder=False, inputs=(model, data, holdout, ids, exclude))
    chosen = read_ids(ids) if ids else None
    excluded = read_ids(exclude) if exclude else None
    session = open_session(model, choice or DataChoice(), runtime)
    training = select_training(session.read(data), ids=chosen, exclude=excluded)
    used = sample_flags(len(training), max_examples, seed)
    encoded = session.encode(training).select(np.flatnonzero(used).tolist())
    unseen = session.encode(session.read_like(training, holdout)) if holdout else None
    holdout_losses = session.outcomes(unseen, "held-out losses").losses if unseen else np.zeros(0)

    started = time.perf_counter()
    collected = collect(
        session.checkpoint.model,
        session.layout,
        session.task,
        encoded,
        batch_tokens=runtime.batch_tokens,
        progress=runtime.progress,
    )
    seconds = time.perf_counter() - started
    file = StatisticsFile(
        statistics=collected.statistics,
        rows=training.row_hashes(),
        used=used,
        holdout_losses=holdout_losses,
        model=session.checkpoint.identity,
        settings=session.settings(training),
        seed=seed,
    )
    digest = write_statistics(output, file, force=runtime.force)
    return FisherResult(
        output=output,
        sha256=digest,
        examples=len(training),
        used=len(encoded),
        tokens=sum(encoded.lengths),
        mean_loss=float(collected.losses.mean()),
        holdout_examples=len(holdout_losses),
        unseen_loss=file.unseen_loss,
        seconds=seconds,
        bytes=output.stat().st_size,
    )
