"""Write a file or a folder as a whole or not at all.

The new content goes to a temporary path beside the target, is flushed to the disk, takes the target's
place by one rename, and the folder's entry is flushed too. A kill at any moment leaves the old state
or the new one. One writer at a time: a lock beside the target.
"""

import os
import re
import shutil
import stat
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from speu_cli.errors import InputError, LockedError, OutputExistsError, ResourceError


def check_output(
    target: Path, *, force: bool, folder: bool | None = None, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Refuse an output that could not or must not be written, before any work is done.

    Args:
        target: File or folder to come.
        force: An existing one may be replaced.
        folder: Whether a folder or a file is to come. Default: either.
        inputs: What is read; even with ``force`` it is not replaced. None is skipped.

    Raises:
        OutputExistsError: It is there, and ``force`` was not given.
        InputError: Its folder is missing, it is something else than what is to come, or it is an input.
        ResourceError: Its folder is not writable.
    """
    try:
        place = target.resolve()
        if not place.parent.is_dir():
            raise InputError(
                f"no folder {place.parent} to write {place.name} into", hint="make it first: mkdir -p"
            )
        mode = _mode(target)
        _mode(_temporary(place))
    except PermissionError as error:
        raise ResourceError(f"no permission to write {target}") from error
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long, `/`
        raise InputError(f"output {target} cannot be written: {error}") from error
    for source in inputs:
        if source is None:
            continue
        read = Path(source).resolve()
        within = force and mode is not None and read in place.parents
        if place == read or place in read.parents or within:
            what = "a file of the input" if within else "the input"
            raise InputError(f"output {target} would replace {what} {source}", hint="choose another")
    if not os.access(place.parent, os.W_OK):
        raise ResourceError(f"no permission to write into {place.parent}")
    if mode is not None:
        _check_existing(target, mode, force=force, folder=folder)


def _mode(path: Path) -> int | None:
    """Type and permissions of what a path leads to; None if there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _check_existing(target: Path, mode: int, *, force: bool, folder: bool | None) -> None:
    """Refuse to replace what is there.

    Raises:
        OutputExistsError: ``force`` was not given.
        InputError: It is something else than what is to come.
    """
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"output {target} is neither a regular file nor a folder")
    if folder is not None and folder != stat.S_ISDIR(mode):
        found, expected = ("a file", "a folder") if folder else ("a folder", "a file")
        raise InputError(f"output {target} is {found}, expected {expected}")
    if not force:
        raise OutputExistsError(f"output exists: {target}", hint="choose another, or replace it with --force")


@contextmanager
def atomic_file(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes ``target``.

    Args:
        target: File to write; a symbolic link is followed.
        force: Replace an existing file.

    Yields:
        A path in the same folder.
    """
    check_output(target, force=force, folder=False)
    target = target.resolve()
    with _locked(target):
        temporary = _temporary(target)
        try:
            yield temporary
            mode = stat.S_IMODE(target.stat().st_mode) if target.is_file() else _new_file_mode()
            os.chmod(temporary, mode)
            _flush(temporary)
            check_output(target, force=force, folder=False)
            os.replace(temporary, target)
            _flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path, *, force: bool = False, private: Container[str] = ()) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes ``target``.

    Args:
        target: Folder to write.
        force: Replace an existing folder, as a whole.
        private: Names of files that keep the permissions they are made with; others get those of the umask.

    Yields:
        An empty folder beside the target.
    """
    check_output(target, force=force, folder=True)
    target = target.resolve()
    with _locked(target):
        temporary = _temporary(target)
        aside = temporary.with_suffix(".old")
        temporary.mkdir()
        try:
            yield temporary
            for lock in temporary.glob(_lock_of("*")):  # of files that were written in it
                lock.unlink()
            for path in sorted(temporary.rglob("*")):
                if path.is_file() and path.name not in private:
                    os.chmod(path, _new_file_mode())
                _flush(path)
            _flush(temporary)
            check_output(target, force=force, folder=True)
            if target.exists():
                os.rename(target, aside)
            os.rename(temporary, target)
            _flush(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            _mend(target)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the target's lock; what runs that were killed left behind is mended under it.

    Raises:
        LockedError: Another run holds it.
    """
    lock = FileLock(target.with_name(_lock_of(target.name)), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"another run is writing {target}", hint="wait for it, or choose another output"
        ) from error
    with lock:
        _mend(target)
        yield


def _mend(target: Path) -> None:
    """Put back a folder that a killed run had moved aside, and sweep temporary paths away."""
    # By the whole name: the leftovers of `model` are not those of `model.v2`, which another run may write.
    ours = re.compile(rf"\.{re.escape(target.name)}\.\d+\.(tmp|old)")
    found = sorted(path for path in target.parent.iterdir() if ours.fullmatch(path.name))
    for leftover in [path for path in found if path.suffix == ".tmp"]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    for aside in [path for path in found if path.suffix == ".old"]:
        if not target.exists():
            os.rename(aside, target)
        else:
            _remove_aside(aside)


def _remove_aside(aside: Path) -> None:
    """Remove a folder that was replaced, under a name that is never put back: it may end halfway."""
    removed = aside.with_suffix(".tmp")
    with suppress(OSError):
        os.rename(aside, removed)
        shutil.rmtree(removed, ignore_errors=True)


def _lock_of(name: str) -> str:
    return f".{name}.lock"


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _new_file_mode() -> int:
    """Permissions that the umask gives a new file; safetensors files would be private otherwise."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
