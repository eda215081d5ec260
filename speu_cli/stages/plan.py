"""``speu fisher --dry-run``: what the statistics would take, from ``config.json`` and a few timed batches."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import SPREAD
from speu_cli.checkpoints.outline import load_outline
from speu_cli.data.columns import DataChoice
from speu_cli.data.ids import read_ids
from speu_cli.data.selection import sample_flags, select_training
from speu_cli.data.shards import Shard, positions
from speu_cli.masks.files import KIND as MASK
from speu_cli.stages.collection import Choice, CollectionChoice, settle
from speu_cli.stages.portion import portion_of
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.statistics.calibration import Calibration, calibrate, free_memory
from speu_cli.statistics.cost import Batches, Memory, Outline, require_alike_layers
from speu_cli.statistics.files import StatisticsFile, statistics_size
from speu_cli.statistics.joining import joined
from speu_cli.statistics.wanted import Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.layout import KINDS, Kind, Layout
from speu_cli.structures.mask import Mask
from speu_cli.tasks.encoded import Encoded

GIGABYTE = 1e9


@dataclass(frozen=True)
class FisherPlan:
    """What a run of ``speu fisher`` would take; time and memory are estimates.

    Attributes:
        examples: Size of the training set D.
        used: Examples in the sums.
        tokens: Tokens of those, without padding.
        shard: Which part of a divided run this is, as ``2/8``; None for a whole.
        processes: How many compute it.
        device: Where a process computes.
        dtype: Type that it computes in.
        batch_tokens: Tokens in a batch of a process, padding included.
        parameters: Of the model.
        entries: Of those, the ones that there are sums of.
        operations: Floating-point operations of a process.
        seconds: Time of the pass over the training set.
        tokens_per_second: Of the pass, over all processes.
        calibration: What the time rests on.
        bytes: Size of the file.
        kept_bytes: Of what a process of a long run keeps beside the output, to resume from.
        memory: Of a process, in parts.
        memory_bytes: All of it that is on the device.
        memory_free: What is free there now.
    """

    examples: int
    used: int
    tokens: int
    shard: str | None
    processes: int
    device: str
    dtype: str
    batch_tokens: int
    parameters: int
    entries: int
    operations: float
    seconds: float
    tokens_per_second: float
    calibration: Calibration
    bytes: int
    kept_bytes: int
    memory: Memory
    memory_bytes: int
    memory_free: int


def plan(
    model: Path,
    data: str,
    *,
    holdout: str | None = None,
    ids: str | None = None,
    exclude: str | None = None,
    max_examples: int | None = None,
    seed: int = 0,
    collection: CollectionChoice | None = None,
    shard: str | None = None,
    choice: DataChoice | None = None,
    runtime: Runtime | None = None,
) -> FisherPlan | None:
    """Estimate what :func:`speu_cli.stages.fisher.fisher` takes; nothing is written.

    The folder of the model needs no weights: without them nobody can tell whether a mask is of this model, so
    a mask of the same architecture is taken for one. Under ``torchrun`` all processes are timed at once.

    Args:
        model: Folder with ``config.json`` and the tokenizer.
        data: The training set.
        holdout: As of :func:`~speu_cli.stages.fisher.fisher`.
        ids: Likewise.
        exclude: Likewise.
        max_examples: Likewise.
        seed: Likewise.
        collection: Likewise.
        shard: Likewise.
        choice: Likewise.
        runtime: Device, type, batch size, progress.

    Returns:
        The estimates; None in a process that does not tell them.
    """
    runtime, collection = runtime or Runtime(), collection or CollectionChoice()
    part = Shard.parse(shard) if shard else None
    with joined(runtime.device) as group:
        runtime = replace(runtime, device=group.device, progress=group.progress(runtime.progress))
        session = open_session(model, choice or DataChoice(), runtime, load=load_outline)
        if collection.mask:
            session = _as_of_mask(session, collection.mask)
        require_alike_layers(session.checkpoint.model, session.layout)
        training = select_training(
            session.read(data),
            ids=read_ids(ids) if ids else None,
            exclude=read_ids(exclude) if exclude else None,
        )
        portion = portion_of(session, training, sample_flags(len(training), max_examples, seed), part)
        settled = settle(collection, session, portion.rows[portion.planned])
        whole = _outline(session, settled, portion.encoded)
        mine = positions(portion.encoded.lengths, Shard(group.rank + 1, group.size))
        of_process = _outline(session, settled, portion.encoded.select(mine)) if mine else whole
        device, free = _where(runtime.device)
        group.wait()  # all are timed at once, as they will run
        timed = calibrate(
            session.checkpoint.model.config,
            partial(_like, collection, _shares(settled, session.layout)),
            portion.encoded.row_lengths,
            batch_tokens=runtime.batch_tokens,
            device=device,
            dtype=session.checkpoint.model.dtype,
        )
    if not group.main:
        return None
    held_out = len(session.read_like(training, holdout)) if holdout else 0
    strata, terms = session.task.strata(portion.encoded).numpy(), len(session.task.terms)
    file = StatisticsFile(
        statistics=whole.statistics,
        rows=portion.rows,
        used=portion.used,
        holdout_losses=np.zeros(held_out),
        model=session.checkpoint.identity,
        settings=session.settings(training),
        seed=seed,
        collected=settled.collected,
        planned=int(portion.planned.sum()),
        shard=part,
        selected=settled.selected,
        losses=np.zeros(int(portion.used.sum())),
        strata=strata,
        holdout_strata=np.zeros(held_out, strata.dtype),
        holdout_terms=np.zeros((held_out, terms)) if terms else None,
    )
    memory, seconds = of_process.memory, of_process.operations / timed.rate
    planned = FisherPlan(
        examples=len(training),
        used=len(portion.encoded),
        tokens=whole.batches.tokens,
        shard=str(part) if part else None,
        processes=group.size,
        device=runtime.device,
        dtype=runtime.dtype,
        batch_tokens=runtime.batch_tokens,
        parameters=session.checkpoint.model.num_parameters(),
        entries=sum(tensor.numel() for tensor in whole.statistics.fisher.values()),
        operations=of_process.operations,
        seconds=seconds,
        tokens_per_second=whole.batches.tokens / seconds,
        calibration=timed,
        bytes=statistics_size(file),
        kept_bytes=memory.statistics + memory.sample,
        memory=memory,
        memory_bytes=memory.on(device),
        memory_free=free,
    )
    if planned.memory_bytes > free:
        runtime.progress.note(_too_much(planned, collection))
    return planned


def _as_of_mask(session: Session, mask: Path) -> Session:
    """Take the model for the one that a mask is of; a broken mask is refused when it is read."""
    recorded = read_artifact(mask, MASK).record.get("model")
    names = {field.name for field in fields(ModelIdentity)}
    if not isinstance(recorded, dict) or recorded.keys() != names:
        return session
    return replace(session, checkpoint=replace(session.checkpoint, identity=ModelIdentity(**recorded)))


def _outline(session: Session, settled: Choice, encoded: Encoded) -> Outline:
    """The pass over some examples."""
    return Outline(
        session.checkpoint.model,
        session.layout,
        settled.wanted,
        Batches.of(encoded.row_lengths, session.runtime.batch_tokens),
        sampled=int(torch.isin(encoded.keys, settled.wanted.sampled).sum()),
        directed=int(torch.isin(encoded.keys, settled.wanted.directed).sum()),
    )


def _where(device: str) -> tuple[str, int]:
    """The device of one layer, and the bytes that are free on all that the model is spread over."""
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
    return (cards[0], sum(map(free_memory, cards))) if device == SPREAD else (device, free_memory(device))


def _shares(settled: Choice, layout: Layout) -> dict[Kind, float] | None:
    """Which part of the units of each kind a mask selects; None without a mask."""
    if settled.selected is None:
        return None
    return {
        kind: sum(len(settled.selected[group.key]) for group in layout.of_kind(kind))
        / max(1, layout.count(kind))
        for kind in KINDS
    }


def _like(
    collection: CollectionChoice, shares: Mapping[Kind, float] | None, model: PreTrainedModel, layout: Layout
) -> Wanted:
    """What is collected of a small model in place of the whole one; of a mask, as large a part."""
    if collection.only:
        return Wanted({})
    if shares is None:
        return Wanted(wanted_parameters(model, layout, collection.scope))
    mask = Mask.zeros(layout)
    for group in layout:
        mask.selected[group.key][: ceil(shares[group.kind] * group.count)] = True
    return Wanted(wanted_slices(mask), mask_statistics=False)


def _too_much(planned: FisherPlan, collection: CollectionChoice) -> str:
    """What to say where memory does not suffice."""
    needed, free = (f"{size / GIGABYTE:.1f} GB" for size in (planned.memory_bytes, planned.memory_free))
    ways = {
        "--only mask first and --mask then": not collection.only and not collection.mask,
        "a smaller --batch-tokens": True,
        "--dtype bfloat16": planned.dtype != "bfloat16",
        "--device auto": planned.device.startswith("cuda"),
    }
    helps = ", ".join(way for way, is_left in ways.items() if is_left)
    return f"about {needed} of memory are needed, {free} are free on {planned.device}; less takes: {helps}"
