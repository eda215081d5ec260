"""``speu fisher``: statistics of the training set, once, after training."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from speu_cli.artifacts.atomic import check_output
from speu_cli.artifacts.digest import canonical_json, hash_tensors
from speu_cli.artifacts.format import Record
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import read_ids
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.data.shards import Shard, positions
from speu_cli.errors import OutputExistsError
from speu_cli.stages.collection import Choice, CollectionChoice, settle
from speu_cli.stages.interruption import postponed
from speu_cli.stages.portion import Portion, portion_of
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.collector import collect
from speu_cli.statistics.files import StatisticsFile, write_statistics
from speu_cli.statistics.joining import joined
from speu_cli.statistics.kept import KeptPass, refuse_leftover
from speu_cli.statistics.parallel import EndedElsewhereError, Group
from speu_cli.tasks.encoded import Encoded

CHECKPOINT_EVERY = 180.0


@dataclass(frozen=True)
class FisherResult:
    """What was computed.

    Attributes:
        output: The statistics file.
        sha256: Digest of its content.
        examples: Size of the training set D.
        used: Examples in the sums.
        tokens: Tokens of those, without padding.
        mean_loss: Of those.
        holdout_examples: Size of the held-out set.
        unseen_loss: Mean loss of the held-out set; None without one.
        shard: Which part of a divided run this is, as ``2/8``; None for a whole.
        processes: How many computed it.
        resumed: Examples that an earlier run had added, in this process.
        batch_tokens: Tokens in a batch of this process, padding included.
        seconds: Time of the pass over the training set.
        tokens_per_second: Of the pass, over all processes.
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
    shard: str | None
    processes: int
    resumed: int
    batch_tokens: int
    seconds: float
    tokens_per_second: float
    bytes: int


@dataclass(frozen=True)
class Keeping:
    """How a long run is kept.

    Attributes:
        every: Seconds between two checkpoints.
        resume: Go on from the checkpoint of an earlier run, if there is one.
    """

    every: float = CHECKPOINT_EVERY
    resume: bool = False


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
    collection: CollectionChoice | None = None,
    shard: str | None = None,
    keeping: Keeping | None = None,
    auto_batch: bool = False,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> FisherResult | None:
    """Compute the statistics F, g, u and B of a training set (Eq. 3, lines 2–6 of Algorithm 1).

    Under ``torchrun`` every process computes a part, and the first one writes.

    Args:
        model: Folder of the fine-tuned checkpoint.
        data: The training set.
        output: Statistics file to write.
        holdout: Unseen examples; their losses are kept, for that is what "forgotten" should look like.
        ids: Id list: only these examples are the training set.
        exclude: Id list: these examples are not in the training set.
        max_examples: Use a random sample of this size for the sums.
        seed: Of the sample.
        collection: Which statistics, of which parameters. Default: all, of those that units own parts of.
        shard: ``2/8``: the second of eight parts, for ``speu merge``. Default: the whole.
        keeping: How a long run is kept.
        auto_batch: Find the size of batches by trial.
        choice: Columns, split, task and length, where they should not be found.
        runtime: Device, batch size, overwriting, progress.

    Returns:
        What was computed; None in a process that does not write.
    """
    runtime, keeping = runtime or Runtime(), keeping or Keeping()
    collection = collection or CollectionChoice()
    with joined(runtime.device) as group:
        part = Shard.parse(shard) if shard else None
        inputs = (model, data, holdout, ids, exclude, collection.mask)
        check_output(output, force=runtime.force, folder=False, inputs=inputs)
        runtime = replace(runtime, device=group.device, progress=group.progress(runtime.progress))
        kept = _checkpoint_of(output, group)
        refuse_leftover(kept, resume=keeping.resume, restart=runtime.force)
        of_others = _refuse_other_groups(output, group, restart=runtime.force)
        chosen = read_ids(ids) if ids else None
        excluded = read_ids(exclude) if exclude else None
        session = open_session(model, choice or DataChoice(), runtime)
        training = select_training(session.read(data), ids=chosen, exclude=excluded)
        portion = portion_of(session, training, sample_flags(len(training), max_examples, seed), part)
        settled = settle(collection, session, portion.rows[portion.planned])
        unseen = session.read_like(training, holdout) if holdout else None
        record = _record(session, training, portion, settled, group)
        _require_same(group, record, unseen, seed)
        held_out = session.encode(unseen) if unseen else portion.encoded.select(())
        unseen_losses = _losses_over(group, session, held_out)

        mine = positions(portion.encoded.lengths, Shard(group.rank + 1, group.size))
        started = time.perf_counter()
        with _kept_pass(kept, record, keeping, runtime) as keeper:
            collected = collect(
                session.checkpoint.model,
                session.layout,
                session.task,
                portion.encoded.select(mine),
                batch_tokens=None if auto_batch else runtime.batch_tokens,
                wanted=settled.wanted,
                progress=runtime.progress,
                dtype=torch.float32,
                keeper=keeper,
            )
            seconds = time.perf_counter() - started
            statistics = group.sum(collected.statistics)
            losses = _gathered(group, collected.losses, mine, len(portion.encoded))
            if not group.main:
                group.wait()  # what is kept is needed until the result is written
                return None
            file = StatisticsFile(
                statistics=statistics,
                rows=portion.rows,
                used=portion.used,
                holdout_losses=unseen_losses[:, 0],
                model=session.checkpoint.identity,
                settings=session.settings(training),
                seed=seed,
                collected=settled.collected,
                planned=int(portion.planned.sum()),
                shard=part,
                selected=settled.selected,
                losses=losses,
                strata=session.task.strata(portion.encoded).numpy(),
                holdout_strata=session.task.strata(held_out).numpy(),
                holdout_terms=unseen_losses[:, 1:] if session.task.terms else None,
            )
            digest = write_statistics(output, file, force=runtime.force)
            group.wait()
            for path in of_others:
                path.unlink(missing_ok=True)
    tokens = sum(portion.encoded.lengths)
    return FisherResult(
        output=output,
        sha256=digest,
        examples=len(training),
        used=len(portion.encoded),
        tokens=tokens,
        mean_loss=float(losses.mean()),
        holdout_examples=len(file.holdout_losses),
        unseen_loss=file.unseen_loss,
        shard=str(part) if part else None,
        processes=group.size,
        resumed=collected.resumed,
        batch_tokens=collected.batch_tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        bytes=output.stat().st_size,
    )


def _losses_over(group: Group, session: Session, encoded: Encoded) -> npt.NDArray[np.float64]:
    """ℓ and its terms of examples, each process computing some, float64 ``[n, 1 + terms]``."""
    wanted = [session.task, *session.task.terms]
    if not len(encoded):
        return np.zeros((0, len(wanted)))
    mine = positions(encoded.lengths, Shard(group.rank + 1, group.size))
    of_mine = np.zeros((0, len(wanted)))
    if mine:
        of_mine = session.several_losses(wanted, encoded.select(mine), "held-out losses")
    return _gathered(group, torch.from_numpy(of_mine), mine, len(encoded))


def _gathered(group: Group, losses: torch.Tensor, mine: Sequence[int], count: int) -> npt.NDArray[np.float64]:
    """Put the losses of all processes together.

    Args:
        group: The processes.
        losses: Of this process's examples, ``[n, …]``.
        mine: Which they are.
        count: How many there are in all.

    Returns:
        float64 ``[count, …]``.
    """
    of_all = torch.zeros(count, *losses.shape[1:], dtype=torch.float64)
    of_all[list(mine)] = losses
    return group.sum_tensor(of_all).numpy()


def _checkpoint_of(output: Path, group: Group) -> Path:
    """Where a process keeps its pass."""
    of_process = f"-{group.rank + 1}-of-{group.size}" if group.size > 1 else ""
    return output.with_name(f"{output.name}.checkpoint{of_process}")


def _refuse_other_groups(output: Path, group: Group, *, restart: bool) -> list[Path]:
    """Refuse to begin where more or fewer processes left their passes: each has examples of its own.

    Args:
        output: The statistics file.
        group: The processes.
        restart: What was left may be lost.

    Returns:
        What was left.

    Raises:
        OutputExistsError: Something was, and may not be lost.
    """
    own = {_checkpoint_of(output, replace(group, rank=rank)).name for rank in range(group.size)}
    kept = re.compile(re.escape(output.name) + r"\.checkpoint(-[0-9]+-of-[0-9]+)?")
    found = {path.name: path for path in output.parent.iterdir() if kept.fullmatch(path.name)}
    left = [found[name] for name in sorted(found.keys() - own)]
    if left and not restart:
        raise OutputExistsError(
            f"an unfinished run is kept in {left[0]}, of another number of processes than {group.size}",
            hint="go on with as many and --resume, or begin again with --force",
        )
    return left


def _record(session: Session, training: Examples, portion: Portion, settled: Choice, group: Group) -> Record:
    """What a kept pass belongs to, as JSON values."""
    flags = {"rows": portion.rows, "used": portion.used}
    return {
        "model": asdict(session.checkpoint.identity),
        "encoding": session.settings(training).to_record(),
        "data": hash_tensors({name: torch.from_numpy(values) for name, values in flags.items()}),
        "collected": settled.collected.record(),
        "sample": hash_tensors({"sampled": settled.wanted.sampled}),
        "process": [group.rank, group.size],
    }


def _require_same(group: Group, record: Record, unseen: Examples | None, seed: int) -> None:
    """Refuse processes that are not at one run, as with other copies of a file on other machines."""
    holdout = hash_tensors({"rows": torch.from_numpy(unseen.row_hashes())}) if unseen else None
    group.require_same("model", canonical_json(record["model"]))
    group.require_same("data", canonical_json([record["data"], holdout]))
    options = [record[name] for name in ("encoding", "collected", "sample")]
    group.require_same("options", canonical_json([*options, seed]))


@contextmanager
def _kept_pass(path: Path, record: Record, keeping: Keeping, runtime: Runtime) -> Iterator[KeptPass]:
    """Keep a pass until its result is written; signals wait for the end of a batch.

    Yields:
        The keeper.

    Raises:
        EndedElsewhereError: Other processes were ended, and this one was not.
    """
    with postponed() as interruption:
        keeper = KeptPass(
            path,
            record,
            every=keeping.every,
            resume=keeping.resume,
            restart=runtime.force,
            ending=interruption,
            progress=runtime.progress,
        )
        try:
            yield keeper
        except EndedElsewhereError:
            interruption.act()  # what ended the others came here too, and waited
            raise
        keeper.discard()
