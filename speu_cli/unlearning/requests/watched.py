"""What is watched while requests come: held-out and remaining examples, and their losses at θ*."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.artifacts.format import library_versions, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError
from speu_cli.unlearning.requests.recorded import read_recorded

KIND = "watched"

Rows = npt.NDArray[np.int64]
Losses = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Some examples of a set.

    Attributes:
        rows: Hashes of their rows, int64 ``[n]``.
        losses: At θ*, float64 ``[n]``.
        names: By which they are found, from their salted ids, int64 ``[n]``.
    """

    rows: Rows
    losses: Losses
    names: Rows

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Watched:
    """What is watched.

    Attributes:
        holdout: Of the held-out set; empty without one.
        remaining: Of the training set.
    """

    holdout: Sample
    remaining: Sample


def write_watched(target: Path, watched: Watched, model: ModelIdentity) -> str:
    """Write what is watched into a new state.

    Args:
        target: File to write.
        watched: It.
        model: θ*.

    Returns:
        The digest of the content.
    """
    tensors = {}
    for name, sample in (("holdout", watched.holdout), ("remaining", watched.remaining)):
        tensors[f"{name}/rows"] = torch.from_numpy(sample.rows)
        tensors[f"{name}/losses"] = torch.from_numpy(sample.losses)
        tensors[f"{name}/names"] = torch.from_numpy(sample.names)
    record = {"model": asdict(model), "versions": library_versions()}
    return write_artifact(target, KIND, record, tensors, force=False)


def read_watched(path: Path, digest: str) -> Watched:
    """Read what is watched.

    Args:
        path: Its file.
        digest: That the content must have.

    Returns:
        It.

    Raises:
        ArtifactError: The file is not intact, not complete, or another one.
    """
    artifact = read_recorded(path, KIND, digest)
    try:
        return Watched(*(_sample(artifact.tensors, name) for name in ("holdout", "remaining")))
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is not a complete file of watched losses: {error!r}") from error


def _sample(tensors: Mapping[str, Tensor], name: str) -> Sample:
    rows, losses, names = (tensors[f"{name}/{part}"] for part in ("rows", "losses", "names"))
    types = [rows.dtype, losses.dtype, names.dtype]
    if types != [torch.int64, torch.float64, torch.int64] or not rows.shape == losses.shape == names.shape:
        raise ValueError(f"'{name}' is misshapen")
    if rows.ndim != 1:
        raise ValueError(f"'{name}' is misshapen")
    return Sample(rows.numpy(), losses.numpy(), names.numpy())
