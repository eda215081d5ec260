"""``speu merge``: the shards of a divided run as one statistics file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speu_cli.artifacts.atomic import check_output
from speu_cli.errors import ArtifactError, InputError
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.files import StatisticsFile, read_statistics, write_statistics
from speu_cli.statistics.shards import ShardFile, complete_run, differing_versions, open_shard
from speu_cli.statistics.sums import DisjointUnion


@dataclass(frozen=True)
class MergeResult:
    """What was put together.

    Attributes:
        output: The statistics file.
        sha256: Digest of its content.
        shards: How many there were.
        examples: Size of the training set D.
        used: Examples in the sums.
        holdout_examples: Size of the held-out set.
        unseen_loss: Mean loss of the held-out set; None without one.
        bytes: Size of the file.
    """

    output: Path
    sha256: str
    shards: int
    examples: int
    used: int
    holdout_examples: int
    unseen_loss: float | None
    bytes: int


def merge(
    shards: Sequence[Path], output: Path, *, force: bool = False, progress: Progress | None = None
) -> MergeResult:
    """Add the statistics of the shards of a run: S(A ∪ B ∪ …) = S(A) + S(B) + … of disjoint sets.

    They are added in order of their numbers, in float64, one in memory at a time: the bytes of the output
    do not depend on the order in which they are given.

    Args:
        shards: Statistics files of ``speu fisher --shard``, all of one run.
        output: Statistics file to write.
        force: Replace an existing file.
        progress: Is told of every shard. Default: nobody.

    Returns:
        What was put together.

    Raises:
        InputError: No shards were given.
    """
    if not shards:
        raise InputError("no shards were given, expected those of a run")
    progress = progress or Silent()
    check_output(output, force=force, folder=False, inputs=tuple(shards))
    ordered = complete_run([open_shard(path) for path in shards])
    for line in differing_versions(ordered):
        progress.note(line)
    total = DisjointUnion()
    for shard in progress.track(ordered, total=len(ordered), description="shards"):
        _add(total, shard)
    first = ordered[0].head
    file = replace(
        first,
        statistics=total.statistics(),
        used=np.logical_or.reduce([shard.head.used for shard in ordered]),
        shard=None,
        losses=_united([(shard.head, shard.head.losses) for shard in ordered]),
        strata=_united([(shard.head, shard.head.strata) for shard in ordered]),
        digest="",
        versions={},
    )
    digest = write_statistics(output, file, force=force)
    return MergeResult(
        output=output,
        sha256=digest,
        shards=len(ordered),
        examples=len(file.rows),
        used=int(file.used.sum()),
        holdout_examples=len(file.holdout_losses),
        unseen_loss=file.unseen_loss,
        bytes=output.stat().st_size,
    )


def _united(shards: Sequence[tuple[StatisticsFile, npt.NDArray[Any] | None]]) -> npt.NDArray[Any] | None:
    """The values of all shards' rows, in the order of the rows; None if one of them does not tell."""
    places = np.concatenate([np.flatnonzero(file.used) for file, _ in shards])
    values = [of_shard for _, of_shard in shards if of_shard is not None]
    return np.concatenate(values)[np.argsort(places)] if len(values) == len(shards) else None


def _add(total: DisjointUnion, shard: ShardFile) -> None:
    """Add the sums of a shard, once every byte of it is verified.

    Args:
        total: What they are added to.
        shard: The shard, as it was opened.

    Raises:
        ArtifactError: It is another file by now, or has sums of other things than those before.
    """
    file = read_statistics(shard.path, dtype=torch.float32)
    if file.digest != shard.head.digest:
        raise ArtifactError(f"{shard.path} was replaced while it was merged", hint="merge again")
    try:
        total.add(file.statistics)
    except ValueError as error:
        raise ArtifactError(
            f"{shard.path} does not have the sums of the shards before it: {error}",
            hint="compute them again, with the same version of speu",
        ) from error
