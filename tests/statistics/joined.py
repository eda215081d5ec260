"""A process of a group, for torchrun: sums over its part of random examples, and writes them as the main one.

    torchrun --nproc-per-node 2 joined.py FOLDER COUNT [ACT]

ACT says what the last process does in the middle: it dies, fails, or sees other data.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from speu_cli.data.shards import Shard, positions
from speu_cli.errors import ArtifactError, SpeuError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.parallel import Group, joined, told_elsewhere
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Wanted, wanted_parameters

sys.path.append(str(Path(__file__).parents[1]))
from laws import PARTS, Case, make_case

MOST_UNITS = 4  # the filters, of which there are more, have a sample in place of B
SAMPLED = slice(0, None, 3)


def wanted_of(case: Case) -> Wanted:
    keys = case.encoded.keys[SAMPLED]
    return Wanted(wanted_parameters(case.model, case.layout, "all"), sampled=keys, most_units=MOST_UNITS)


def tensors_of(statistics: Statistics) -> dict[str, torch.Tensor]:
    parts = (*PARTS, "mask_rows")
    sums = {f"{part}/{name}": sums for part in parts for name, sums in getattr(statistics, part).items()}
    return {**sums, "sampled": statistics.sampled, "count": torch.tensor(statistics.count)}


def act(what: str, group: Group) -> None:
    if what == "differ":
        group.require_same("data", str(group.rank == group.size - 1))
    elif group.rank == group.size - 1:
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "fail":
            raise ArtifactError("the last process fails")


def main(folder: Path, count: int, what: str = "") -> None:
    with joined("cpu") as group:
        case = make_case(folder / str(group.rank), count=count)
        group.require_same("data", str(case.encoded.keys.tolist()))
        mine = positions(case.encoded.lengths, Shard(group.rank + 1, group.size))
        act(what, group)
        collected = collect(
            case.model,
            case.layout,
            case.task,
            case.encoded.select(mine),
            batch_tokens=40,
            wanted=wanted_of(case),
        )
        losses = torch.zeros(count, dtype=torch.float64)
        losses[mine] = collected.losses
        losses = group.sum_tensor(losses)
        statistics = group.sum(collected.statistics)
        if group.main:
            save_file({**tensors_of(statistics), "losses": losses}, folder / "sums.safetensors")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for rank in range(int(os.environ["WORLD_SIZE"])):
        (place / str(rank)).mkdir(exist_ok=True)
    try:
        main(place, int(sys.argv[2]), *sys.argv[3:])
    except SpeuError as error:
        if not told_elsewhere(error):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
