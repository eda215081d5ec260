"""The entry point: the one place where exceptions become exit codes."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import typer.main

from speu_cli.cli.app import app
from speu_cli.cli.failures import BROKEN_PIPE, INTERRUPTED, Failure, Terminated, failure_of
from speu_cli.cli.processes import is_told_elsewhere

_STANDARD_STREAMS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows the name of the program. Default: those of this process.

    Returns:
        The exit code, as documented in docs/exit-codes.md.
    """
    _open_closed_streams()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BaseException as error:  # the last stop of every exception, interrupts included
        failure = failure_of(error)
        _tell(failure, error)
        return failure.code
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(arguments: Sequence[str] | None) -> int:
    """Parse and run the command line, and return its exit code."""
    command = typer.main.get_command(app)
    outcome = command.main(
        args=None if arguments is None else list(arguments), prog_name="speu", standalone_mode=False
    )
    code = outcome if isinstance(outcome, int) else 0
    if code == INTERRUPTED:  # Typer catches the interrupt itself and returns this code
        raise KeyboardInterrupt
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the finally-blocks; a second request does not disturb them."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _open_closed_streams() -> None:
    """Put the null device where a standard stream is closed, lest an output file takes its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD_STREAMS:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _tell(failure: Failure, error: BaseException) -> None:
    """Tell on standard error how the run ended."""
    if failure.code == BROKEN_PIPE:
        _drop_stdout()
        return
    try:
        if os.environ.get("SPEU_DEBUG") == "1":
            traceback.print_exception(error, file=sys.stderr)
        told = is_told_elsewhere(error)
        if failure.message is not None and not told:
            print(f"speu: error: {failure.message}", file=sys.stderr)
        if failure.hint is not None and not told:
            print(f"hint: {failure.hint}", file=sys.stderr)
        sys.stdout.flush()
    except OSError:  # nobody reads any more
        _drop_stdout()


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, or Python complains about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, io.UnsupportedOperation):
            pass
    os.close(nowhere)
