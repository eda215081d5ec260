"""Fuzz the readers with atheris, guided by the code that a file reaches; `make fuzz` runs it for a while.

Usage: ``python tests/fuzz/look_further.py [SECONDS_A_READER] [READER ...]``. Ends with 1 at the first bug,
and leaves the file that shows it beside the seeds.
"""

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["speu_cli"]):
    from fuzz.targets import Target, targets


def fuzz(target: Target, folder: Path, seconds: int) -> None:
    """Fuzz one reader; libFuzzer ends the process, so each has one of its own.

    Args:
        target: The reader.
        folder: Where the files are.
        seconds: How long.
    """
    corpus, path = folder / "corpus", folder / target.name
    corpus.mkdir(parents=True)
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    longest = max(4096, 2 * max(map(len, target.seeds)))
    limits = [f"-max_total_time={seconds}", f"-max_len={longest}", f"-artifact_prefix={folder}/"]
    atheris.Setup([target.name, *limits, str(corpus)], lambda content: void(target.reads(path, content)))
    atheris.Fuzz()


def void(_: object) -> None:
    """Drop the answer: libFuzzer takes none."""


def main() -> int:
    """Fuzz the readers in turn.

    Returns:
        0, or 1 at the first bug.
    """
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    folder = Path(tempfile.mkdtemp(prefix="speu-fuzz-"))
    found = targets(folder / "seeds")
    for name in sys.argv[2:] or found:
        print(f"== {name}", flush=True)
        child = os.fork()
        if child == 0:
            fuzz(found[name], folder / f"of-{name}", seconds)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            print(f"a bug in the reader of {name}, see {folder / f'of-{name}'}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
