"""How fast this machine is at a pass: a few layers of the model, with random weights, for a few seconds."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.checkpoints.outline import NOWHERE, build_model, reduce_config
from speu_cli.data.batches import Batch, batches_by_length
from speu_cli.progress import Silent
from speu_cli.statistics.collector import Pass
from speu_cli.statistics.cost import Batches, Outline
from speu_cli.statistics.wanted import Wanted
from speu_cli.structures.layout import Layout, find_layout
from speu_cli.tasks.registry import find_task

Choose = Callable[[PreTrainedModel, Layout], Wanted]

# The last layer costs less than the others: its gradients come from one position.
LAYERS = 2
# Where among the tokens of the training set, longest examples first, the batches are taken that are timed.
PLACES = (0.25, 0.75)
# A batch is cut where it would take longer; batches are repeated until they took as long.
MOST_SECONDS, LEAST_SECONDS = 1.5, 0.5
SHARE_OF_FREE = 0.5
# Entries of a layer's matrices: on a processor a batch of a wider one takes too long to wait for.
MOST_ENTRIES_ON_A_PROCESSOR = 25_000_000
# What a container is given, by version 2 and 1 of control groups; a word, or more than there is, is no limit.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Calibration:
    """What was timed.

    Attributes:
        layers: Of the model that was run.
        narrowing: 1: it was as wide as the model that is asked about; 4: a quarter of it.
        tokens: That it was given.
        seconds: That it took.
        operations: Floating-point operations in that time.
    """

    layers: int
    narrowing: int
    tokens: int
    seconds: float
    operations: float

    @property
    def rate(self) -> float:
        """Floating-point operations a second."""
        return self.operations / self.seconds


def calibrate(
    config: PretrainedConfig,
    choose: Choose,
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    device: str,
    dtype: torch.dtype,
) -> Calibration:
    """Time a pass of a small model over batches like the training set's.

    Args:
        config: Of the model that is asked about.
        choose: What is collected of a model.
        lengths: Tokens of each example of the training set, at least one.
        batch_tokens: Tokens in a padded batch.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: Type to compute in.

    Returns:
        What was timed.
    """
    batches = [[lengths[one] for one in batch] for batch in _typical_batches(lengths, batch_tokens)]
    whole = Batches.of(batches[0], batch_tokens)
    small, narrowing = _small_enough(config, choose, whole, device, dtype)
    model = build_model(small, device=device, dtype=dtype)
    layout = find_layout(model)
    wanted = choose(model, layout)
    task = find_task(small)
    encoded = task.made_up([length for batch in batches for length in batch], small)
    run = Pass(model, layout, task, encoded, wanted, batch_tokens, Silent())
    tokens, seconds, operations = 0, 0.0, 0.0
    with run.attached():
        most = _warm_up(run, len(batches[0]), device)
        while seconds < LEAST_SECONDS:
            for first, batch in zip(_starts(batches), batches, strict=True):
                taken = batch[:most]
                seconds += _timed(run, range(first, first + len(taken)), device)
                shape = Batches.of(taken, len(taken) * max(taken))
                operations += Outline(model, layout, wanted, shape).operations
                tokens += sum(taken)
    return Calibration(small.num_hidden_layers, narrowing, tokens, seconds, operations)


def free_memory(device: str) -> int:
    """Bytes that are free on a device."""
    if device.startswith("cuda"):
        free: int = torch.cuda.mem_get_info(torch.device(device))[0]
        return free
    return int(psutil.virtual_memory().available)


def total_memory(device: torch.device) -> int:
    """Bytes that a device has; of the CPU as many as a container is given, if that is fewer."""
    if device.type == "cuda":
        of_device: int = torch.cuda.get_device_properties(device).total_memory
        return of_device
    limits = (path.read_text().strip() for path in LIMITS if path.is_file())
    return min([int(psutil.virtual_memory().total), *(int(limit) for limit in limits if limit.isdigit())])


def _typical_batches(lengths: Sequence[int], batch_tokens: int) -> list[Batch]:
    """Batches of a pass, one at each of :data:`PLACES`; each once."""
    batches = batches_by_length(lengths, max_tokens=batch_tokens)
    marks, total, before = list(PLACES), sum(lengths), 0
    found = []
    for batch in batches:
        before += batch.tokens
        if marks and before >= marks[0] * total:
            found.append(batch)
            marks = [mark for mark in marks if before < mark * total]
    return found


def _small_enough(
    config: PretrainedConfig, choose: Choose, batches: Batches, device: str, dtype: torch.dtype
) -> tuple[PretrainedConfig, int]:
    """A model of few layers that fits here, as wide as the one that is asked about if that can be.

    Returns:
        Its configuration, and how many times narrower it is.
    """
    narrowing = 1
    while True:
        small = reduce_config(config, layers=LAYERS, narrowing=narrowing)
        model = build_model(small, device=NOWHERE, dtype=dtype)
        layout = find_layout(model)
        outline = Outline(model, layout, choose(model, layout), batches)
        entries = max(sum(layer.weights.values()) for layer in outline.layers)
        fits = outline.memory.on(device) <= SHARE_OF_FREE * free_memory(device)
        quick = device.startswith("cuda") or entries <= MOST_ENTRIES_ON_A_PROCESSOR
        if (fits and quick) or narrowing >= config.num_attention_heads:
            return small, narrowing
        narrowing *= 2


def _starts(batches: Sequence[Sequence[int]]) -> Iterator[int]:
    start = 0
    for batch in batches:
        yield start
        start += len(batch)


def _warm_up(run: Pass, count: int, device: str) -> int:
    """Have done what is done once, such as the tuning of kernels.

    Returns:
        How many of the first ``count`` examples make a batch that does not take too long.
    """
    taken = 1
    _timed(run, range(taken), device)
    while taken < count and 2 * _timed(run, range(taken), device) < MOST_SECONDS:
        taken = min(2 * taken, count)
    return taken


def _timed(run: Pass, positions: range, device: str) -> float:
    """Seconds of a batch, until the device has done its work."""
    started = time.perf_counter()
    run.add(Batch(positions, tokens=0))
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
