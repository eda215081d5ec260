"""What every benchmark writes: the date, the machine, and its figures."""

import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch


def report(figures: dict[str, Any], output: Path | None) -> None:
    """Print the figures as JSON, and write them if a file is named."""
    print(record(figures, output), end="")


def record(figures: dict[str, Any], output: Path | None) -> str:
    """Write the figures as JSON if a file is named, and return what is written."""
    text = json.dumps({"date": date.today().isoformat(), "machine": machine(), **figures}, indent=2) + "\n"
    if output:
        output.write_text(text)
    return text


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return platform.processor()
