"""Stages that only look like stages: they record what they are given, or do what a test asks for.

As a script it is ``speu`` with such stages, for tests that need a real process::

    FAKE_STAGE=hang python fakes.py fisher model --data d.jsonl -o out
"""

import errno
import math
import os
import sys
import time
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("fisher", "mask", "unlearn", "evaluate", "train", "inspect")


@dataclass(frozen=True)
class Result:
    """Holds one value of each sort that a result may hold."""

    output: Path = Path("out.safetensors")
    examples: int = 1200
    loss: float = math.nan
    heads: tuple[int, ...] = (1, 2)
    nested: dict[str, float] = field(default_factory=lambda: {"a": 0.5})


class Recorder:
    """Stands in for every stage and remembers the calls."""

    def __init__(self, result: object = None) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.result = Result() if result is None else result

    def stage(self, name: str):
        def run(*args: Any, **kwargs: Any) -> object:
            self.calls.append((name, args, kwargs))
            return self.result

        return run


def modules(stage_of_name) -> dict[str, types.ModuleType]:
    """Modules to put into sys.modules, one for each stage."""
    made = {}
    for name in STAGES:
        module = types.ModuleType(f"speu_cli.stages.{name}")
        setattr(module, name, stage_of_name(name))
        made[module.__name__] = module
    return made


def _hang(output: Path, progress: Any) -> None:
    """Hold a temporary file beside the output, and wait for a signal."""
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_text("half")
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        temporary.unlink()


def _noise(output: Path, progress: Any) -> None:
    """Print and warn as libraries do, and report progress."""
    import logging
    import warnings

    print("chatter on standard output")
    warnings.warn("chatter as a warning", stacklevel=1)
    logging.getLogger("some.library").warning("chatter in a log")
    progress.note("chatter of the stage")
    for _ in progress.track(range(3), total=3, description="counting"):
        pass


def _fail(output: Path, progress: Any) -> None:
    """Raise what FAKE_ERROR says."""
    from speu_cli import errors

    what = os.environ["FAKE_ERROR"]
    if what == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", str(output))
    if what == "memory":
        raise MemoryError
    if what == "bug":
        raise ValueError("list index\nout of range")
    raise getattr(errors, what)("the message [a-z]", hint="the hint")


def _return(output: Path, progress: Any) -> None:
    """Do nothing."""


def process_stage(name: str):
    """Stage for a process: what it does stands in FAKE_STAGE."""
    acts = {"hang": _hang, "noise": _noise, "fail": _fail}

    def run(*args: Any, runtime: Any = None, **kwargs: Any) -> Result:
        output = Path(os.environ.get("FAKE_OUTPUT", "out"))
        act = acts.get(os.environ.get("FAKE_STAGE", ""), _return)
        act(output, None if runtime is None else runtime.progress)
        return Result(nested={str(i): i for i in range(int(os.environ.get("FAKE_SIZE", "1")))})

    return run


if __name__ == "__main__":
    from speu_cli.cli.main import main

    sys.modules.update(modules(process_stage))
    sys.exit(main())
