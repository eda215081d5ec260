"""Artifacts that the ledger names by their digest."""

from pathlib import Path

from speu_cli.artifacts.format import Artifact, read_artifact
from speu_cli.errors import ArtifactError


def read_recorded(path: Path, kind: str, digest: str) -> Artifact:
    """Read an artifact, which has to be the one that the ledger names.

    Args:
        path: Its file.
        kind: Its kind.
        digest: That the ledger gives.

    Returns:
        The artifact, every byte of it verified.

    Raises:
        ArtifactError: It is another one.
    """
    artifact = read_artifact(path, kind)
    if artifact.digest != digest:
        raise ArtifactError(
            f"{path} has the sha256 {artifact.digest[:12]}, the ledger says {digest[:12]}",
            hint="restore it from a copy",
        )
    return artifact
