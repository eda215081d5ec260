"""Groups of processes as torchrun starts them, and soon there: forks of one that has imported everything."""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from torch.distributed import TCPStore

HERE = "127.0.0.1"
PATIENCE = 60.0
IMPORTED = ["speu_cli.cli.main", "speu_cli.stages.fisher", "transformers.models.bert.modeling_bert"]
# What torchrun or the command line set before PyTorch is imported.
OF_SERVER = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL"}

Program = Callable[[], None]


@dataclass(frozen=True)
class Script:
    """Runs a Python file as a program."""

    path: Path
    arguments: tuple[str, ...]

    def __call__(self) -> None:
        sys.argv = [str(self.path), *self.arguments]
        runpy.run_path(str(self.path), run_name="__main__")


@dataclass(frozen=True)
class Speu:
    """Runs a command line."""

    arguments: tuple[str, ...]

    def __call__(self) -> None:
        from speu_cli.cli.main import main

        sys.exit(main(self.arguments))


@dataclass(frozen=True)
class Ended:
    """How a group ended.

    Attributes:
        codes: Exit codes in order of rank; of a process that a signal ended, the signal's number, negative;
            None if it had to be killed in the end.
        outputs: What each wrote to standard output.
        errors: What each wrote to standard error.
    """

    codes: list[int | None]
    outputs: list[str]
    errors: list[str]

    @property
    def told(self) -> list[str]:
        """The lines of all on standard error."""
        return [line for text in self.errors for line in text.splitlines()]


@dataclass(frozen=True)
class Running:
    """A group at work: its processes in order of rank, and where their streams go."""

    processes: list[BaseProcess]
    folder: Path

    def send(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to a process that is still at work."""
        process = self.processes[rank]
        assert process.pid is not None and process.is_alive()
        os.kill(process.pid, number)

    def end(self) -> Ended:
        """Wait for the end of all."""
        deadline = time.monotonic() + PATIENCE
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))

        def written(ending: str) -> list[str]:
            return [(self.folder / f"{rank}.{ending}").read_text() for rank in range(len(self.processes))]

        return Ended([process.exitcode for process in self.processes], written("out"), written("err"))


@contextmanager
def group(folder: Path, *programs: Program, agent: bool = True) -> Iterator[Running]:
    """Start a process for each program, in order of rank.

    Args:
        folder: Where their streams go.
        programs: What each does.
        agent: The store is this process's, as with torchrun it is the agent's; else the first of them has it.

    Yields:
        The group.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED)
    store = TCPStore(HERE, 0, is_master=True, wait_for_workers=False) if agent else None
    environment = {
        "WORLD_SIZE": str(len(programs)),
        "MASTER_ADDR": HERE,
        "MASTER_PORT": str(store.port if store else _free_port()),
        "TORCHELASTIC_USE_AGENT_STORE": str(agent),
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    folder.mkdir(exist_ok=True)
    running = Running([], folder)
    try:
        with mock.patch.dict(os.environ, OF_SERVER):
            for rank, program in enumerate(programs):
                own = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                process = forks.Process(target=_run, args=(program, own, str(folder / str(rank))))
                process.start()
                running.processes.append(process)
        yield running
    finally:
        for process in running.processes:
            process.kill()
            process.join()


def run_group(folder: Path, *programs: Program, **options: Any) -> Ended:
    """Start a group, and wait for its end."""
    with group(folder, *programs, **options) as running:
        return running.end()


def _run(program: Program, environment: dict[str, str], streams: str) -> None:
    for descriptor, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{streams}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    os.environ.update(environment)
    program()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HERE, 0))
        return int(one.getsockname()[1])
