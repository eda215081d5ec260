"""What a state says while a request is written, so that a run that is killed can be told of afterwards."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_file
from speu_cli.errors import ArtifactError
from speu_cli.unlearning.requests.ledger import Ledger

PENDING = "pending.json"


@dataclass(frozen=True)
class Pending:
    """A request that is being written.

    Attributes:
        request: Names it.
        head: Of the ledger before it.
        output: Folder of its model.
    """

    request: str
    head: str
    output: str

    def told(self, ledger: Ledger) -> str | None:
        """What became of it.

        Args:
            ledger: Of its state.

        Returns:
            A sentence; None if the ledger has gone on without it.
        """
        if ledger.head == self.head:
            return (
                f"request {self.request} was interrupted before it was recorded: the state is the one before "
                f"it. Serve it again; what there is of its model in {self.output} will be replaced"
            )
        last = ledger.entries[-1]
        if last.previous == self.head and last.record.get("id") == self.request:
            return f"request {self.request} was interrupted after it was recorded: it is done"
        return None


def begin(folder: Path, pending: Pending) -> None:
    """Say that a request is going to be written.

    Args:
        folder: The state.
        pending: The request.
    """
    with atomic_file(folder / PENDING, force=True) as path:
        path.write_text(json.dumps(asdict(pending)) + "\n")


def end(folder: Path) -> None:
    """Say that no request is being written; where that fails, the next command tells that it is done."""
    with suppress(OSError):
        (folder / PENDING).unlink(missing_ok=True)


def read_pending(folder: Path) -> Pending | None:
    """Read which request was being written when a run ended.

    Args:
        folder: The state.

    Returns:
        The request, if there is one.

    Raises:
        ArtifactError: What is there is not readable.
    """
    path = folder / PENDING
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        pending = Pending(**json.loads(content))
        intact = f"{json.dumps(asdict(pending))}\n".encode() == content
    except (ValueError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise ArtifactError(
            f"{path} is not readable", hint="delete it: it only names the request that was interrupted"
        )
    return pending
