"""The shards of a divided run: whether they are of one run, and all of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from speu_cli.artifacts.digest import hash_tensors
from speu_cli.data.shards import Shard
from speu_cli.errors import ArtifactError, InputError
from speu_cli.statistics.files import StatisticsFile, peek_statistics
from speu_cli.wording import is_or_are

# How far the losses of one held-out set may be apart, of the largest or of 1: shards may run on devices and
# in batches of different kinds. Another set is much further away.
ROUNDING = {"float32": 1e-4, "bfloat16": 0.1}
SHOWN_DIGITS = 24


@dataclass(frozen=True)
class ShardFile:
    """A shard, as it is known before its sums are read.

    Attributes:
        path: The file.
        shard: Which part of the run it is.
        head: What the file holds, with empty sums.
    """

    path: Path
    shard: Shard
    head: StatisticsFile


def open_shard(path: Path) -> ShardFile:
    """Read what a shard says of itself.

    Args:
        path: The file.

    Returns:
        The shard.

    Raises:
        ArtifactError: It is no shard.
    """
    head = peek_statistics(path)
    if head.shard is None:
        raise ArtifactError(
            f"{path} is of a whole run, expected a shard", hint="use it as it is, or leave it out"
        )
    return ShardFile(path, head.shard, head)


def complete_run(shards: Sequence[ShardFile]) -> list[ShardFile]:
    """Refuse shards that are not those of one run, each once.

    Args:
        shards: At least one, in any order.

    Returns:
        They, in order of their numbers.
    """
    expected = dict(_facts(shards[0]))
    for shard in shards[1:]:
        _require_same_facts(shards[0], expected, shard)
        _require_same_losses(shards[0], shard)
    _require_each_once(shards)
    ordered = sorted(shards, key=lambda one: one.shard.index)
    _require_planned_examples(ordered)
    _require_one_sample(ordered)
    _require_all_directed(ordered)
    return ordered


def differing_versions(shards: Sequence[ShardFile]) -> list[str]:
    """Say which libraries wrote some of the shards in one version and some in another, a line each."""
    lines = []
    for library in sorted({name for shard in shards for name in shard.head.versions}):
        numbers: dict[str, list[int]] = {}
        for shard in shards:
            numbers.setdefault(shard.head.versions.get(library, "none"), []).append(shard.shard.index)
        if len(numbers) > 1:
            found = ", ".join(f"{version} (shards {_ranges(_runs(of))})" for version, of in numbers.items())
            lines.append(f"the shards were computed with different versions of {library}: {found}")
    return lines


def _require_same_facts(first: ShardFile, expected: Mapping[str, object], other: ShardFile) -> None:
    """Refuse a shard of another run.

    Raises:
        ArtifactError: It differs from the first one in what all shards of a run share.
    """
    of_other = dict(_facts(other))
    for name in dict.fromkeys((*of_other, *expected)):
        found, of_first = of_other.get(name), expected.get(name)
        if found != of_first:
            raise ArtifactError(
                f"{other.path} is of another run than {first.path}: "
                f"its {name} {is_or_are(name)} {_shown(found)}, expected {_shown(of_first)}",
                hint="give the shards of one run, all with the same options",
            )


def _require_same_losses(first: ShardFile, other: ShardFile) -> None:
    """Refuse a shard with another held-out set.

    Raises:
        ArtifactError: Its held-out losses are not those of the first one.
    """
    mine, theirs = first.head.holdout_losses, other.head.holdout_losses
    dtype = first.head.collected.dtype
    largest = ROUNDING[dtype] * max(1.0, float(np.abs(mine).max(initial=0.0)))
    difference = float(np.abs(mine - theirs).max(initial=0.0))
    if difference > largest:
        raise ArtifactError(
            f"{other.path} is of another run than {first.path}: its held-out losses differ by "
            f"{difference:.2g}, expected at most {largest:.2g}, as rounding in {dtype} makes it",
            hint="give all shards the same --holdout",
        )


def _facts(shard: ShardFile) -> Iterator[tuple[str, object]]:
    """What all shards of a run share, by a name for messages."""
    head = shard.head
    rows = hash_tensors({"rows": torch.from_numpy(head.rows)})
    yield from _flat("model", asdict(head.model))
    yield "data", f"{len(head.rows)} rows with sha256 {rows[:SHOWN_DIGITS]}"
    yield from _flat("encoding", asdict(head.settings))
    yield from _flat("collected", head.collected.record())
    yield "list of selected units", hash_tensors(head.selected or {})
    yield "seed", head.seed
    yield "number of examples in all shards", head.planned
    yield "number of shards", shard.shard.of
    yield "number of held-out examples", len(head.holdout_losses)


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name} {key}", part)
    else:
        yield name, value


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text[:SHOWN_DIGITS] if re.fullmatch("[0-9a-f]{64}", text) else text


def _require_each_once(shards: Sequence[ShardFile]) -> None:
    """Refuse a shard that is there twice, and a run of which some are missing.

    Raises:
        InputError: One is there twice, or missing.
    """
    paths: dict[int, Path] = {}
    for shard in shards:
        number = shard.shard.index
        if number in paths:
            raise InputError(
                f"shard {shard.shard} is there twice, as {paths[number]} and as {shard.path}, "
                "expected it once",
                hint="leave one of them out",
            )
        paths[number] = shard.path
    of = shards[0].shard.of
    edges = [0, *sorted(paths), of + 1]
    missing = [(before + 1, after - 1) for before, after in pairwise(edges) if after - before > 1]
    if missing:
        raise InputError(
            f"got {len(paths)} of the {of} shards of the run, expected all: {_ranges(missing)} missing",
            hint="give all shards of the run; a missing one comes from 'speu fisher --shard I/N'",
        )


def _require_planned_examples(ordered: Sequence[ShardFile]) -> None:
    """Refuse shards that do not have every example of the run once.

    Raises:
        ArtifactError: Two have the same examples, or some are in none.
    """
    owner = np.full(len(ordered[0].head.rows), -1)
    for number, shard in enumerate(ordered):
        others = owner[shard.head.used]
        clashes = others[others >= 0]
        if len(clashes):
            other = ordered[int(clashes[0])]
            raise ArtifactError(
                f"{len(clashes)} examples of {shard.path} are in the sums of other shards too, such as "
                f"{other.path}, expected each in one",
                hint="compute both again, with the same version of speu and the same files",
            )
        owner[shard.head.used] = number
    found, planned = int((owner >= 0).sum()), ordered[0].head.planned
    if found != planned:
        raise ArtifactError(
            f"the shards {ordered[0].path} … {ordered[-1].path} have {found} examples in their sums, "
            f"expected the {planned} of the run",
            hint="compute them again, with the same version of speu and the same files",
        )


def _require_one_sample(ordered: Sequence[ShardFile]) -> None:
    """Refuse shards whose samples of mask gradients are not parts of one sample.

    Raises:
        ArtifactError: One has other examples in its sample than the rest make one expect.
    """
    size = sum(len(shard.head.statistics.sampled) for shard in ordered)
    used = np.logical_or.reduce([shard.head.used for shard in ordered])
    sample = np.sort(ordered[0].head.rows[used])[:size]
    for shard in ordered:
        found, mine = shard.head.statistics.sampled.numpy(), shard.head.rows[shard.head.used]
        expected = np.sort(mine[np.isin(mine, sample)])
        if not np.array_equal(found, expected):
            raise ArtifactError(
                f"{shard.path} has {len(found)} examples in its sample of mask gradients, expected the "
                f"{len(expected)} of the {size} with the smallest hashes",
                hint="give all shards the same --mask-sample",
            )


def _require_all_directed(ordered: Sequence[ShardFile]) -> None:
    """Refuse shards whose directions are not of all examples that those of the run are of.

    Raises:
        ArtifactError: Some are missing.
    """
    first = ordered[0].head
    directions = first.collected.directions
    if directions is None:
        return
    found = sum(directions.total(shard.head.statistics.direction_weights) for shard in ordered)
    expected = min(directions.examples, first.planned)
    if found != expected:
        raise ArtifactError(
            f"the shards {ordered[0].path} … {ordered[-1].path} have directions of {found:g} examples, "
            f"expected the {expected} of the run",
            hint="compute them again, with the same version of speu and the same files",
        )


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of the runs of consecutive numbers, which are ascending."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        follows = runs and number == runs[-1][1] + 1
        runs.append((runs.pop()[0] if follows else number, number))
    return runs


def _ranges(runs: Sequence[tuple[int, int]]) -> str:
    """Runs of numbers for a message, as ``1, 3-5``."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
