"""Several processes at one pass, as ``torchrun`` starts them: each sums over a part of the examples.

They meet in :mod:`speu_cli.statistics.joining`::

    with joined("cpu") as group:
        part = encoded.select(positions(encoded.lengths, Shard(group.rank + 1, group.size)))
        statistics = group.sum(collect(..., part, ...).statistics)
        if group.main:
            ...  # write them

Without ``torchrun`` the group is of one process, and its sums are those given.
"""

import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import Store

from speu_cli.artifacts.digest import hash_text
from speu_cli.errors import ArtifactError, ResourceError
from speu_cli.progress import Progress, Silent
from speu_cli.statistics.memory import out_of_memory
from speu_cli.statistics.sums import Statistics

# Seconds in which those that are alive say so, when a connection is lost. Who has the store stays for longer.
LAST_WORDS, LAST_WORDS_AT_STORE = 5.0, 10.0
# A note on exceptions of which another process tells.
TOLD = "another process tells of it"


class EndedElsewhereError(ResourceError):
    """Other processes ended, and left word: not they or this one are the cause, but what ended them."""


class LostConnectionError(ResourceError):
    """Somebody is gone; who is not known yet."""


@dataclass(frozen=True)
class Group:
    """The processes that share a pass, as one of them sees them.

    Attributes:
        rank: Number of this process, from 0.
        size: How many there are.
        device: Where this process computes.
        link: Sums between devices: an NCCL group; None for gloo, through the memory of the CPU.
        store: What the processes leave each other word in; None in a group of one.
    """

    rank: int
    size: int
    device: str
    link: dist.ProcessGroup | None = None
    store: Store | None = None

    @property
    def main(self) -> bool:
        """Whether this is the process that tells, shows progress and writes."""
        return self.rank == 0

    def progress(self, progress: Progress) -> Progress:
        """What this process reports to: nobody, unless it is the main process."""
        return progress if self.main else Silent()

    def wait(self) -> None:
        """Wait until all processes have come here.

        Raises:
            ResourceError: Some have ended.
        """
        # Not `dist.monitored_barrier`: it does not name a process that is already gone.
        token = torch.zeros(1)
        gone = []
        for rank in range(1, self.size) if self.main else [0]:
            try:
                if not self.main:
                    dist.send(token, dst=rank)
                dist.recv(token, src=rank)
            except RuntimeError:
                gone.append(rank)
        if gone:
            raise self._cause(gone)
        if self.main:
            with _connected():
                for rank in range(1, self.size):
                    dist.send(token, dst=rank)

    def sum(self, statistics: Statistics) -> Statistics:
        """Add the statistics of the processes' disjoint sets, tensor by tensor in the memory that they have.

        Args:
            statistics: Of this process's examples; not to be used afterwards.

        Returns:
            The sums over all examples at the main process; elsewhere none.
        """
        if self.size == 1:
            return statistics
        self.wait()
        with _connected():
            count = int(self._reduced(torch.tensor(statistics.count)))
            for sums in (
                statistics.fisher,
                statistics.gradient,
                statistics.mask_gradient,
                statistics.mask_fisher,
                statistics.directions,
            ):
                for name in sorted(sums):
                    self._reduced(sums[name])
            self._reduced(statistics.direction_weights)
            sampled, order = self._gathered(statistics.sampled).sort()
            rows = {
                name: self._gathered(statistics.mask_rows[name])[order]
                for name in sorted(statistics.mask_rows)
            }
        if not self.main:
            return Statistics(0, {}, {}, {}, {})
        return replace(statistics, count=count, mask_rows=rows, sampled=sampled)

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """Sum of the processes' tensors, of one shape, at the main process; elsewhere it means nothing."""
        if self.size == 1:
            return tensor
        self.wait()
        with _connected():
            return self._reduced(tensor.clone())

    def require_same(self, what: str, text: str) -> None:
        """Refuse processes that see different things, as nodes with different copies of a file do.

        Args:
            what: What the text stands for, such as ``data``.
            text: Equal where the things are.

        Raises:
            ArtifactError: It is not that of the main process.
        """
        if self.size == 1:
            return
        self.wait()
        mine = torch.frombuffer(bytearray.fromhex(hash_text(text)), dtype=torch.uint8)
        everyones = [torch.empty_like(mine) for _ in range(self.size)]
        with _connected():
            dist.all_gather(everyones, mine)
        others = [rank for rank, of_rank in enumerate(everyones) if not torch.equal(of_rank, everyones[0])]
        if others:
            raise ArtifactError(
                f"{self._called(others)} found other {what} than process 1",
                hint="give all processes the same files and options",
            )

    def leave_word(self, error: BaseException) -> None:
        """Tell the others that this process ends by an exception; one of them all is to tell the user.

        Args:
            error: Gets the note :data:`TOLD` if that is another process.
        """
        if self.store is None:
            return
        # A signal is for all. It is not the cause where torchrun sent it because one of them had failed.
        failed = isinstance(error, Exception) and not isinstance(error, EndedElsewhereError)
        try:
            failures = self.store.add("failures", int(failed))
            tells = failures == 1 if failed else self.main and not failures
            self.store.set(self._word_of(self.rank), "")
        except RuntimeError:  # without torchrun the main process has the store, and is gone with it
            tells = self.rank <= 1
        if not tells:
            error.add_note(TOLD)

    def who_is_lost(self) -> ResourceError:
        """Find out who is gone, once this process has ended its connections: the others find them lost.

        Returns:
            What to tell of it.
        """
        others = self._others()
        try:
            self._hear(others)
        except RuntimeError:  # the store is gone, and with it whoever had it
            others = [0]
        return self._cause(others)

    def stay_with_store(self) -> None:
        """Let the others read what is in the store, where it goes with this process."""
        if self._has_store:
            self._hear(self._others())

    @property
    def _has_store(self) -> bool:
        """Whether the store ends with this process: torchrun's does not."""
        return self.main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"

    def _hear(self, others: list[int]) -> None:
        """Wait until others have left word, as all do that are alive, soon after a connection was lost."""
        deadline = time.monotonic() + (LAST_WORDS_AT_STORE if self._has_store else LAST_WORDS)
        while self._silent(others) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _cause(self, gone: list[int]) -> ResourceError:
        """What to tell of processes that are gone: when one dies the others end as well, and leave word."""
        hint = "what it says of itself stands above, if anything"
        try:
            missing = self._silent(gone)
        except RuntimeError:  # without torchrun the main process has the store
            missing = gone
        if missing:
            return ResourceError(f"{self._called(missing)} did not finish", hint=hint)
        return EndedElsewhereError(f"{self._called(gone)} ended before the others", hint=hint)

    def _others(self) -> list[int]:
        return [rank for rank in range(self.size) if rank != self.rank]

    def _silent(self, ranks: list[int]) -> list[int]:
        """Those that have left no word; a RuntimeError tells that the store is gone."""
        return [rank for rank in ranks if self.store is None or not self.store.check([self._word_of(rank)])]

    @staticmethod
    def _word_of(rank: int) -> str:
        return f"ended/{rank}"

    def _reduced(self, tensor: Tensor) -> Tensor:
        """Sum into the main process's tensor, in place; what is left in the others' means nothing."""
        if self.link is None:
            dist.reduce(tensor, dst=0)
            return tensor
        moved = tensor.to(self.device)
        dist.reduce(moved, dst=0, group=self.link)
        return tensor.copy_(moved)

    def _gathered(self, rows: Tensor) -> Tensor:
        """The processes' rows ``[n of all, …]``, in order of rank, at the main process; elsewhere its own."""
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(rows)
        dist.all_reduce(counts)
        if not self.main:
            dist.send(rows.contiguous(), dst=0)
            return rows
        parts = [rows]
        for rank, count in enumerate(counts[1:].tolist(), start=1):
            parts.append(rows.new_empty(count, *rows.shape[1:]))
            dist.recv(parts[rank], src=rank)
        return torch.cat(parts)

    def _called(self, ranks: list[int]) -> str:
        """What a message calls some processes: by their numbers from 1, and by what torchrun calls them."""
        numbers, names = (", ".join(str(rank + first) for rank in ranks) for first in (1, 0))
        processes, of_torchrun = ("process", "rank") if len(ranks) == 1 else ("processes", "ranks")
        return f"{processes} {numbers} of {self.size} ({of_torchrun} {names})"


def told_elsewhere(error: BaseException) -> bool:
    """Whether another process tells the user why the group failed."""
    return TOLD in getattr(error, "__notes__", ())


@contextmanager
def _connected() -> Iterator[None]:
    """Give a lost connection its type.

    Yields:
        Nothing.

    Raises:
        LostConnectionError: A process was lost.
        RuntimeError: Memory ran out here.
    """
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they would keep the other connections open
        raise LostConnectionError(f"the connection to another process was lost: {error}") from error
