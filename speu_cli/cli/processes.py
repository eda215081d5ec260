"""Which process of a group this is, from what ``torchrun`` sets; only the first one tells of results."""

import os
import sys


def is_main_process() -> bool:
    """Whether this process prints and shows progress: the only one, or the first of a group."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def is_told_elsewhere(error: BaseException) -> bool:
    """Whether another process of the group tells the user what went wrong."""
    # Where the module was not imported, no group was joined; importing it would take seconds.
    parallel = sys.modules.get("speu_cli.statistics.parallel")
    return parallel is not None and bool(parallel.told_elsewhere(error))
