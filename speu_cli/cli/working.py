"""The surroundings of a stage: silent libraries, a clean standard output, time and memory."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

_SILENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "FATAL",  # a lost connection is told of in one line of ours
}
_NO_BARS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def quiet_libraries(*, network: bool, verbose: bool) -> None:
    """Set how libraries behave; to be called before they are imported, as they read it then.

    What the user has set stays.

    Args:
        network: Whether they may use the network.
        verbose: Whether their warnings are shown.
    """
    settings = _NO_BARS | ({} if verbose else _SILENT) | ({} if network else _OFFLINE)
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if not verbose:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)


@contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send what a library prints to standard error: standard output carries the result and nothing else."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def running_time() -> Iterator[Callable[[], str]]:
    """Measure what the body takes.

    Yields:
        A function that tells the elapsed time and the peak memory in one line.
    """
    start = time.monotonic()

    def elapsed() -> str:
        seconds = time.monotonic() - start
        return f"took {seconds:.1f} s, peak memory {_peak_megabytes():,.0f} MB"

    yield elapsed


def _peak_megabytes() -> float:
    """Return the largest resident size of this process so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
