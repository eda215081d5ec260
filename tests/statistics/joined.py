"""A process of a group, as torchrun starts them: sums over its part of random examples.

    torchrun --nproc-per-node 2 joined.py FOLDER COUNT [WHAT MOMENT RANK]

The main one writes the sums. WHAT happens to the process of that rank at a MOMENT: it dies or fails at the
start, in the pass over its examples or in the sum over the processes; or at the start it sees other data.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import distributed as dist

from speu_cli.data.shards import Shard, positions
from speu_cli.errors import ArtifactError, SpeuError
from speu_cli.progress import Silent
from speu_cli.statistics import parallel
from speu_cli.statistics.collector import collect
from speu_cli.statistics.directions import Directions
from speu_cli.statistics.joining import joined
from speu_cli.statistics.parallel import Group, told_elsewhere
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters

sys.path.append(str(Path(__file__).parents[1]))
from laws import PARTS, Case, make_case

T = TypeVar("T")

MOST_UNITS = 4  # the filters, of which there are more, have a sample in place of B
SAMPLED = slice(0, None, 3)
SUMS_BEFORE = 3


def wanted_of(case: Case) -> Wanted:
    keys = case.encoded.keys[SAMPLED]
    return Wanted(
        wanted_parameters(case.model, case.layout, "all"),
        sampled=keys,
        most_units=MOST_UNITS,
        directions=Directions("classes", 2, len(keys)),
        directed=keys,
    )


def tensors_of(statistics: Statistics) -> dict[str, torch.Tensor]:
    parts = (*PARTS, "mask_rows", "directions")
    sums = {f"{part}/{name}": sums for part in parts for name, sums in getattr(statistics, part).items()}
    others = {"sampled": statistics.sampled, "direction_weights": statistics.direction_weights}
    return {**sums, **others, "count": torch.tensor(statistics.count)}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ArtifactError("this process fails")


class InThePass(Silent):
    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == 1:
                self._act()
            yield item


def in_the_sum(act: Callable[[], None]) -> None:
    """Act between two of the sums, when the others are already at them."""
    reduce, numbers = dist.reduce, iter(range(10_000))

    def acting(*arguments: Any, **options: Any) -> None:
        if next(numbers) == SUMS_BEFORE:
            act()
        reduce(*arguments, **options)

    dist.reduce = acting


def main(folder: Path, count: int, what: str = "", moment: str = "", rank: str = "") -> None:
    with joined("cpu") as group:
        act, progress = {"die": die, "fail": fail}.get(what), Silent()
        mine = bool(rank) and group.rank == int(rank)
        if mine and act is not None:
            if moment == "start":
                act()
            elif moment == "pass":
                progress = InThePass(act)
            elif moment == "sum":
                in_the_sum(act)
        group.require_same("data", "other" if mine and what == "differ" else "the same")
        write(group, folder, count, progress)


def write(group: Group, folder: Path, count: int, progress: Silent) -> None:
    (folder / str(group.rank)).mkdir()
    case = make_case(folder / str(group.rank), count=count)
    mine = positions(case.encoded.lengths, Shard(group.rank + 1, group.size))
    collected = collect(
        case.model,
        case.layout,
        case.task,
        case.encoded.select(mine),
        batch_tokens=40,
        wanted=wanted_of(case),
        progress=progress,
    )
    losses = torch.zeros(count, dtype=torch.float64)
    losses[mine] = collected.losses
    losses = group.sum_tensor(losses)
    statistics = group.sum(collected.statistics)
    if group.main:
        save_file({**tensors_of(statistics), "losses": losses}, folder / "sums.safetensors")


if __name__ == "__main__":
    parallel.LAST_WORDS, parallel.LAST_WORDS_AT_STORE = 2.0, 6.0
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    except SpeuError as error:
        if not told_elsewhere(error):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
