"""``speu`` with stages that compute nothing, for tests that need a process but no model.

FAKE_STAGE says what the stage does before it returns::

    FAKE_STAGE=hang python fakes.py fisher model --data d.jsonl -o out
"""

import errno
import logging
import os
import sys
import time
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FisherResult:
    """Has the fields of the real one, whose module takes seconds to import."""

    output: Path = Path("out")
    sha256: str = "0" * 64
    examples: int = 1200
    used: int = 1200
    tokens: int = 5000
    mean_loss: float = float("nan")
    holdout_examples: int = 100
    unseen_loss: float | None = 0.5
    shard: str | None = None
    processes: int = 1
    resumed: int = 0
    batch_tokens: int = 2048
    seconds: float = 12.34
    tokens_per_second: float = 405.2
    bytes: int = 4200


@dataclass(frozen=True)
class Keeping:
    """Has the fields of the real one."""

    every: float = 180.0
    resume: bool = False


@dataclass(frozen=True)
class InspectResult:
    """Has the fields of the real one."""

    path: Path
    kind: str
    record: dict[str, Any]
    tensors: dict[str, int] | None
    summary: list[tuple[str, str]]
    picture: Path | None


def hang(progress: Any) -> None:
    """Hold a temporary file beside the output, and wait for a signal."""
    output = Path(os.environ["FAKE_OUTPUT"])
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_text("half")
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        temporary.unlink()


def noise(progress: Any) -> None:
    """Print and warn as libraries do, and report progress."""
    print("chatter on standard output")
    warnings.warn("chatter as a warning", stacklevel=1)
    logging.getLogger("some.library").warning("chatter in a log")
    progress.note("chatter of the stage")
    for _ in progress.track(range(3), total=3, description="counting"):
        pass


def fail(progress: Any) -> None:
    """Raise what FAKE_ERROR says."""
    from speu_cli import errors

    what = os.environ["FAKE_ERROR"]
    if what == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "out")
    if what == "memory":
        raise MemoryError
    if what == "bug":
        raise ValueError("list index\nout of range")
    raise getattr(errors, what)("the message [a-z]", hint="the hint")


ACTS = {"hang": hang, "noise": noise, "fail": fail}


def fisher(*_: Any, runtime: Any, **__: Any) -> FisherResult:
    """Do what FAKE_STAGE says."""
    act = ACTS.get(os.environ.get("FAKE_STAGE", ""))
    if act is not None:
        act(runtime.progress)
    return FisherResult()


def inspect(path: Path, **_: Any) -> InspectResult:
    """Return a summary of FAKE_LINES lines."""
    lines = [(f"line {number}", "x" * 50) for number in range(int(os.environ.get("FAKE_LINES", "3")))]
    return InspectResult(path, "mask", {}, None, lines, None)


@dataclass(frozen=True)
class Runtime:
    """Has the fields of the real one."""

    device: str = "cpu"
    batch_tokens: int = 2048
    force: bool = False
    progress: Any = None
    dtype: str = "float32"


@dataclass(frozen=True)
class CollectionChoice:
    """Has the fields of the real one."""

    scope: str = "structures"
    only: str | None = None
    mask: Path | None = None
    sample: int = 1024
    directions: int | str = 0
    direction_examples: int = 1024


MODULES: dict[str, dict[str, Any]] = {
    "fisher": {"fisher": fisher, "Keeping": Keeping},
    "inspect": {"inspect": inspect},
    "collection": {"CollectionChoice": CollectionChoice},
}

if __name__ == "__main__":
    for name, content in MODULES.items():
        module = types.ModuleType(f"speu_cli.stages.{name}")
        vars(module).update(content)
        sys.modules[module.__name__] = module

    from speu_cli.cli.main import main

    sys.exit(main())
