"""``speu requests compact``: remove what no request and no check needs any more."""

import re
from dataclasses import dataclass
from pathlib import Path

from speu_cli.unlearning.requests.forgotten import KIND
from speu_cli.unlearning.requests.recorded import read_recorded
from speu_cli.unlearning.requests.state import State, open_state

SUMS = re.compile(r"forgotten-([0-9]{6,})\.safetensors")
# What runs that were killed had begun to write.
LEFT = re.compile(r"\.(forgotten-[0-9]{6,}\.safetensors|pending\.json)\.[0-9]+\.tmp")


@dataclass(frozen=True)
class CompactResult:
    """What was removed.

    Attributes:
        state: Its folder.
        removed: Names of the files.
        bytes: Their size.
    """

    state: Path
    removed: list[str]
    bytes: int


def compact_requests(state: Path, *, dry_run: bool = False) -> CompactResult:
    """Remove the sums of earlier requests, once those of the last one are known to be whole.

    Args:
        state: Folder of the state.
        dry_run: Only tell what would be removed.

    Returns:
        What was removed.
    """
    with open_state(state) as opened:
        kept = _last_sums(opened)
        found = [path for path in sorted(state.iterdir()) if _is_superseded(path, kept)]
        size = sum(path.stat().st_size for path in found)
        for path in [] if dry_run else found:
            path.unlink(missing_ok=True)
    return CompactResult(state, [path.name for path in found], size)


def _last_sums(state: State) -> Path | None:
    """The sums of the last request, verified: if they are damaged, earlier ones are not to be lost."""
    if not state.requests or state.requests[-1].record["sums"] is None:
        return None
    last = state.requests[-1]
    path = state.sums(last.number)
    read_recorded(path, KIND, last.record["sums"])
    return path


def _is_superseded(path: Path, kept: Path | None) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    return (SUMS.fullmatch(path.name) is not None and path != kept) or LEFT.fullmatch(path.name) is not None
