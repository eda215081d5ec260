"""Statistics files: sums over the training set, and what they belong to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.artifacts.format import Artifact, library_versions, read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import Checkpoint
from speu_cli.errors import ArtifactError
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout
from speu_cli.tasks.settings import EncodingSettings

KIND = "statistics"
PARTS = ("fisher", "gradient", "mask_gradient", "mask_fisher")


@dataclass(frozen=True)
class StatisticsFile:
    """What ``speu fisher`` keeps.

    Attributes:
        statistics: Sums over the examples of D that were used.
        rows: Hashes of the rows of D, int64 ``[n_D]``: which rows the model was trained on.
        used: Which of them are in the sums, bool ``[n_D]``; all, unless a sample was asked for.
        holdout_losses: Losses of unseen examples, float64 ``[n]``; empty if there was no held-out set.
        model: Who the model is.
        settings: How the examples were encoded.
        seed: Of the sample.
        digest: Names the file's content; empty for one not yet written.
    """

    statistics: Statistics
    rows: npt.NDArray[np.int64]
    used: npt.NDArray[np.bool_]
    holdout_losses: npt.NDArray[np.float64]
    model: ModelIdentity
    settings: EncodingSettings
    seed: int
    digest: str = ""

    @property
    def unseen_loss(self) -> float | None:
        """Mean loss of the held-out examples: what "unseen" looks like to this model."""
        return float(self.holdout_losses.mean()) if len(self.holdout_losses) else None


def write_statistics(target: Path, file: StatisticsFile, *, force: bool) -> str:
    """Write a statistics file, sums in float32.

    Args:
        target: File to write.
        file: Its content.
        force: Replace an existing file.

    Returns:
        The digest of the content.
    """
    tensors: dict[str, Tensor] = {
        "rows": torch.from_numpy(file.rows),
        "used": torch.from_numpy(file.used),
        "holdout_losses": torch.from_numpy(file.holdout_losses).float(),
    }
    for part in PARTS:
        sums: Mapping[str, Tensor] = getattr(file.statistics, part)
        tensors |= {f"{part}/{name}": tensor.float() for name, tensor in sums.items()}
    record = {
        "model": asdict(file.model),
        "encoding": file.settings.to_record(),
        "data": {"count": len(file.rows), "used": file.statistics.count, "seed": file.seed},
        "versions": library_versions(),
    }
    return write_artifact(target, KIND, record, tensors, force=force)


def read_statistics(path: Path) -> StatisticsFile:
    """Read and verify a statistics file.

    Args:
        path: File to read.

    Returns:
        Its content, sums in float64.

    Raises:
        ArtifactError: It is not an intact statistics file.
    """
    artifact = read_artifact(path, KIND)
    try:
        return _unpack(artifact)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not a complete statistics file: {error!r}") from error


def _unpack(artifact: Artifact) -> StatisticsFile:
    record, tensors = artifact.record, artifact.tensors
    parts: dict[str, dict[str, Tensor]] = {
        part: {
            name.removeprefix(f"{part}/"): tensor.double()
            for name, tensor in tensors.items()
            if name.startswith(f"{part}/")
        }
        for part in PARTS
    }
    for name, fisher in parts["fisher"].items():
        if (fisher < 0).any():
            raise ArtifactError(
                f"{artifact.path}: 'fisher/{name}' has negative entries, expected sums of squares"
            )
    rows, used = tensors["rows"], tensors["used"]
    if rows.ndim != 1 or rows.shape != used.shape or int(used.sum()) != record["data"]["used"]:
        raise ArtifactError(f"{artifact.path}: 'rows' and 'used' do not fit each other or their count")
    return StatisticsFile(
        statistics=Statistics(int(record["data"]["used"]), **parts),
        rows=rows.numpy(),
        used=used.numpy(),
        holdout_losses=tensors["holdout_losses"].double().numpy(),
        model=ModelIdentity(**record["model"]),
        settings=EncodingSettings.from_record(record["encoding"]),
        seed=int(record["data"]["seed"]),
        digest=artifact.digest,
    )


def check_statistics(file: StatisticsFile, path: Path, checkpoint: Checkpoint, layout: Layout) -> None:
    """Refuse statistics of another model.

    Args:
        file: The statistics.
        path: Where they were read from.
        checkpoint: The model at hand.
        layout: Its units.

    Raises:
        ArtifactError: The statistics are not of this model.
    """
    checkpoint.identity.require_same(file.model, str(path))
    shapes = {name: tuple(checkpoint.model.get_parameter(name).shape) for name in layout.parameters}
    expected: dict[str, dict[str, tuple[int, ...]]] = {
        "fisher": shapes,
        "gradient": shapes,
        "mask_gradient": {group.key: (group.count,) for group in layout},
        "mask_fisher": {group.key: (group.count, group.count) for group in layout},
    }
    for part, of_model in expected.items():
        of_file = {name: tuple(tensor.shape) for name, tensor in getattr(file.statistics, part).items()}
        odd = sorted(name for name, _ in of_model.items() ^ of_file.items())
        if odd:
            raise ArtifactError(f"{path}: '{part}' of {odd[0]} is missing, not of this model or misshapen")
