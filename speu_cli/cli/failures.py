"""From an exception to what the user reads and the exit code that scripts see."""

import errno
import re
import sys
from dataclasses import dataclass

import typer

from speu_cli.errors import InputError, ResourceError, SpeuError

INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143
BUG = 70

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


class Terminated(BaseException):
    """The process was asked to end; raised so that half-written files are removed on the way out."""


@dataclass(frozen=True)
class Failure:
    """How a run ended: its exit code, and what to tell, if anything."""

    code: int
    message: str | None = None
    hint: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Translate an exception.

    Args:
        error: What ended the run.

    Returns:
        The exit code with the one-line message and hint.
    """
    for translate in (_of_signal, _of_speu, _of_usage, _of_resource):
        failure = translate(error)
        if failure is not None:
            return failure
    return Failure(
        BUG,
        f"internal error: {type(error).__name__}: {one_line(str(error))}",
        "this is a bug; run again with SPEU_DEBUG=1 and report the traceback",
    )


def one_line(text: str) -> str:
    """Return the text with every run of white space, line breaks included, as one space."""
    return " ".join(text.split())


def _of_signal(error: BaseException) -> Failure | None:
    """Translate what came from outside the program."""
    match error:
        case KeyboardInterrupt():
            return Failure(INTERRUPTED, "interrupted")
        case Terminated():
            return Failure(TERMINATED, "terminated")
        case BrokenPipeError():
            return Failure(BROKEN_PIPE)
        case SystemExit():
            # Typer turns a broken pipe into SystemExit(1): the cause says which it was.
            if isinstance(error.__context__, BrokenPipeError):
                return Failure(BROKEN_PIPE)
            return Failure(error.code if isinstance(error.code, int) else int(error.code is not None))
    return None


def _of_speu(error: BaseException) -> Failure | None:
    """Translate the errors that know their own exit code."""
    if not isinstance(error, SpeuError):
        return None
    return Failure(error.exit_code, one_line(str(error)), error.hint)


def _of_usage(error: BaseException) -> Failure | None:
    """Translate a command line that the parser refused."""
    if not isinstance(error, typer.TyperException):
        return None
    message = one_line(error.format_message()).replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    command = "speu" if context is None else context.command_path
    return Failure(InputError.exit_code, message[:1].lower() + message[1:], f"see {command} --help")


def _of_resource(error: BaseException) -> Failure | None:
    """Translate a lack of disk, memory or permission."""
    text = one_line(str(error))
    if isinstance(error, OSError) and error.errno in _NO_SPACE | _NO_PERMISSION:
        place = "" if error.filename is None else f": {error.filename}"
        hint = "free some space" if error.errno in _NO_SPACE else "check the permissions"
        return Failure(ResourceError.exit_code, f"{(error.strerror or text).lower()}{place}", hint)
    if _is_safetensors_no_space(error, text):
        return Failure(ResourceError.exit_code, "no space left on device", "free some space")
    if _is_out_of_memory(error, text):
        return Failure(
            ResourceError.exit_code,
            f"out of memory: {text or type(error).__name__}",
            "lower --batch-tokens, or use a machine with more memory",
        )
    return None


def _is_safetensors_no_space(error: BaseException, text: str) -> bool:
    """Tell whether safetensors ran out of disk: its error is no OSError and has no number."""
    number = re.search(r"os error (\d+)", text)
    return type(error).__name__ == "SafetensorError" and number is not None and int(number[1]) in _NO_SPACE


def _is_out_of_memory(error: BaseException, text: str) -> bool:
    """Tell whether memory ran out, of the machine or of its accelerator."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in text
