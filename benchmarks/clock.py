"""Time of a run, by the clock and by the processor."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

Seconds = dict[str, float]


def timed(run: Callable[[], object], device: str) -> Seconds:
    """Seconds of one call; the processor's are of all threads, and mean little on a GPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}
