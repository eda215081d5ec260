"""Write a file or a folder as a whole or not at all.

The new content goes to a temporary path beside the target, is flushed to the disk, takes the target's
place by one rename, and the folder's entry is flushed too. A kill at any moment leaves the old state
or the new one. One writer at a time: a lock beside the target.
"""

import glob
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from speu_cli.errors import InputError, LockedError, OutputExistsError, ResourceError


def check_output(target: Path, *, force: bool) -> None:
    """Refuse an output that could not or must not be written, before any work is done.

    Args:
        target: File or folder to come.
        force: An existing one may be replaced.

    Raises:
        OutputExistsError: It is there, and ``force`` was not given.
        InputError: Its folder is missing, or it is neither a regular file nor a folder.
        ResourceError: Its folder is not writable.
    """
    target = target.resolve()
    if not target.parent.is_dir():
        raise InputError(
            f"no folder {target.parent} to write {target.name} into", hint="make it first: mkdir -p"
        )
    if not os.access(target.parent, os.W_OK):
        raise ResourceError(f"no permission to write into {target.parent}")
    if os.path.lexists(target):
        mode = target.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"output {target} is neither a regular file nor a folder")
        if not force:
            raise OutputExistsError(
                f"output exists: {target}", hint="choose another, or replace it with --force"
            )


@contextmanager
def atomic_file(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes ``target``.

    Args:
        target: File to write; a symbolic link is followed.
        force: Replace an existing file.

    Yields:
        A path in the same folder.

    Raises:
        InputError: The target is a folder.
    """
    target = target.resolve()
    check_output(target, force=force)
    if target.is_dir():
        raise InputError(f"output {target} is a folder, expected a file")
    with _locked(target):
        temporary = _temporary(target)
        try:
            yield temporary
            mode = stat.S_IMODE(target.stat().st_mode) if target.is_file() else _new_file_mode()
            os.chmod(temporary, mode)
            _flush(temporary)
            check_output(target, force=force)
            os.replace(temporary, target)
            _flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes ``target``.

    Args:
        target: Folder to write.
        force: Replace an existing folder, as a whole.

    Yields:
        An empty folder beside the target.

    Raises:
        InputError: The target is a file.
    """
    target = target.resolve()
    check_output(target, force=force)
    if target.is_file():
        raise InputError(f"output {target} is a file, expected a folder")
    with _locked(target):
        temporary = _temporary(target)
        aside = temporary.with_suffix(".old")
        temporary.mkdir()
        try:
            yield temporary
            for path in sorted(temporary.rglob("*")):
                if path.is_file():
                    os.chmod(path, _new_file_mode())
                _flush(path)
            _flush(temporary)
            check_output(target, force=force)
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
    lock = FileLock(target.with_name(f".{target.name}.lock"), blocking=False)
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
    hidden = f".{glob.escape(target.name)}.*"
    for aside in target.parent.glob(f"{hidden}.old"):
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.rename(aside, target)
    for leftover in target.parent.glob(f"{hidden}.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


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
