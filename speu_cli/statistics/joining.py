"""Joining the processes that ``torchrun`` started: how they meet, connect and leave."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from speu_cli.checkpoints.load import check_device
from speu_cli.errors import InputError, ResourceError
from speu_cli.statistics.parallel import Group, LostConnectionError

# For processes that are slower than others, and for those that hang: one that has ended is noticed at once.
PATIENCE = timedelta(hours=12)
STARTING = timedelta(minutes=10)


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started with this one, and leave them when all are done.

    Args:
        device: As asked for: ``cuda`` gives each process of a machine a GPU of its own.

    Yields:
        The group: of this process alone, where there are no others.
    """
    size = _whole("WORLD_SIZE", 1)
    if size == 1:
        yield Group(0, 1, device)
        return
    store = _meet()
    rank = _whole("RANK", 0)
    group = Group(rank, size, device, store=PrefixStore("speu", store))
    try:
        _connect(group)
        yield _with_device(group)
        group.wait()
    except LostConnectionError as error:
        group.leave_word(error)
        _leave()
        lost = group.who_is_lost()
        for note in getattr(error, "__notes__", ()):
            lost.add_note(note)
        raise lost from error
    except BaseException as error:
        group.leave_word(error)
        _leave()
        group.stay_with_store()
        raise
    finally:
        _leave()


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _meet() -> Store:
    """Connect to the store that ``torchrun`` offers.

    Returns:
        The store.

    Raises:
        InputError: The environment is not one that ``torchrun`` makes.
        ResourceError: There is no store.
    """
    try:
        store: Store = next(iter(rendezvous("env://", timeout=STARTING)))[0]
    except ValueError as error:
        raise InputError(
            f"WORLD_SIZE is set, but: {error}", hint="start several processes with torchrun, or unset it"
        ) from error
    except RuntimeError as error:
        raise ResourceError(f"no connection to the other processes: {error}") from error
    return store


def _connect(group: Group) -> None:
    """Connect every process to every other.

    Raises:
        ResourceError: They cannot be.
    """
    try:
        dist.init_process_group(
            "gloo", store=group.store, rank=group.rank, world_size=group.size, timeout=PATIENCE
        )
    except RuntimeError as error:
        raise ResourceError(f"no connection to the other processes: {error}") from error


def _with_device(group: Group) -> Group:
    """Settle where a process computes, and how sums get from device to device."""
    if group.device != "cuda":
        check_device(group.device)
        return group
    device = f"cuda:{_whole('LOCAL_RANK', group.rank)}"
    check_device(device)
    group.wait()  # making an NCCL group waits for a process that has no device, and is not to be interrupted
    link = dist.new_group(backend="nccl", timeout=PATIENCE) if dist.is_nccl_available() else None
    return replace(group, device=device, link=link)


def _whole(name: str, default: int) -> int:
    """A whole number in the environment.

    Returns:
        It, or the default if it is not set.

    Raises:
        InputError: It is something else.
    """
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r} in the environment, expected a whole number")
    return int(text)
