import errno

import pytest
import typer

from speu_cli import errors
from speu_cli.cli.failures import Failure, Terminated, failure_of


class SafetensorError(Exception):
    """Named as that of safetensors, which is no OSError."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("m"), 2),
        (errors.ArtifactError("m"), 4),
        (errors.OutputExistsError("m"), 5),
        (errors.LockedError("m"), 6),
        (errors.ResourceError("m"), 7),
        (errors.UnsafeStepError("m"), 8),
        (typer.BadParameter("m"), 2),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141),
        (SystemExit(0), 0),
        (SystemExit(None), 0),
        (SystemExit(3), 3),
        (SystemExit("text"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 7),
        (OSError(errno.EDQUOT, "Quota"), 7),
        (PermissionError(errno.EACCES, "Permission denied", "f"), 7),
        (OSError(errno.EROFS, "Read-only file system", "f"), 7),
        (SafetensorError("Error while serializing: I/O error: No space left (os error 28)"), 7),
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), 7),
        (SafetensorError("Error while serializing: I/O error: Is a directory (os error 21)"), 70),
        (MemoryError(), 7),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 7),
        (SafetensorError("InvalidHeader"), 70),
        (RuntimeError("other"), 70),
        (KeyError("k"), 70),
    ],
)
def test_exit_codes(error, code):
    assert failure_of(error).code == code


def test_memory_of_an_accelerator():
    import torch

    failure = failure_of(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert failure.code == 7
    assert "--batch-tokens" in failure.hint


def test_a_pipe_that_typer_turned_into_an_exit():
    try:
        try:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        except OSError:
            raise SystemExit(1)  # noqa: B904  as Typer does it
    except SystemExit as error:
        assert failure_of(error) == Failure(141)


def test_message_and_hint_are_the_error_s_own_on_one_line():
    failure = failure_of(errors.InputError("row 3:\n  no text", hint="mend it"))
    assert (failure.message, failure.hint) == ("row 3: no text", "mend it")


def test_a_bug_says_so():
    failure = failure_of(ValueError("list index\nout of range"))
    assert failure.message == "internal error: ValueError: list index out of range"
    assert "this is a bug" in failure.hint


def test_no_space_names_the_file():
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device", "out/x"))
    assert failure.message == "no space left on device: out/x"
