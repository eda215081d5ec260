"""Which process of a group this is, from what ``torchrun`` sets; only the first one tells of results."""

import os
import sys

import typer

from speu_cli.cli.failures import Terminated
from speu_cli.errors import InputError


def is_main_process() -> bool:
    """Whether this process prints and shows progress: the only one, or the first of a group."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def is_told_elsewhere(error: BaseException) -> bool:
    """Whether another process of the group tells the user what went wrong."""
    # Where the module was not imported, no group was joined; importing it would take seconds.
    parallel = sys.modules.get("speu_cli.statistics.parallel")
    if parallel is None:  # all were given the same command line, or the same signal
        of_all = (InputError, typer.TyperException, Terminated, KeyboardInterrupt)
        return isinstance(error, of_all) and not is_main_process()
    return bool(parallel.told_elsewhere(error))
