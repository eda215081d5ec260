"""Mask files: which units may change, their scores, and how they were found."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from speu_cli.artifacts.format import Record, library_versions, read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError
from speu_cli.masks.localization import Localized, MaskSettings
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import KeyValue, Mask

KIND = "mask"


@dataclass(frozen=True)
class MaskOrigin:
    """What a mask was made from.

    Attributes:
        model: Who the model is.
        statistics: Digest of the statistics file.
        forget: Number of forget examples and a hash of their ids; None for a mask made before any request.
    """

    model: ModelIdentity
    statistics: str
    forget: dict[str, Any] | None


def write_mask(
    target: Path, localized: Localized, settings: MaskSettings, origin: MaskOrigin, *, force: bool
) -> str:
    """Write a mask file.

    Args:
        target: File to write.
        localized: The mask and its scores.
        settings: How it was found.
        origin: What it was made from.
        force: Replace an existing file.

    Returns:
        The digest of the content.
    """
    mask = localized.rearranged.mask
    tensors = {f"selected/{key}": flags.nonzero()[:, 0] for key, flags in mask.selected.items()}
    tensors |= {f"scores/{key}": scores.float() for key, scores in localized.scores.items()}
    record: Record = {
        "model": asdict(origin.model),
        "inputs": {"statistics": origin.statistics},
        "forget": origin.forget,
        "settings": asdict(settings),
        "objective": localized.objective(),
        "units": {group.key: group.count for group in mask.layout},
        "versions": library_versions(),
    }
    return write_artifact(target, KIND, record, tensors, force=force)


def read_mask(path: Path, model: ModelIdentity, layout: Layout) -> tuple[Mask, Record]:
    """Read and verify a mask file of this model.

    Args:
        path: File to read.
        model: Who the model at hand is.
        layout: Its units.

    Returns:
        The mask and the file's record.

    Raises:
        ArtifactError: It is not an intact mask of this model.
    """
    artifact = read_artifact(path, KIND)
    units = artifact.record.get("units")
    expected = {group.key: group.count for group in layout}
    if units != expected:
        raise ArtifactError(
            f"{path} is a mask of another architecture: it has {_sizes(units)}, this model {_sizes(expected)}"
        )
    settings = artifact.record.get("settings")
    kv: Any = settings.get("kv", "any") if isinstance(settings, dict) else None
    if kv not in get_args(KeyValue):
        raise ArtifactError(f"{path} is not a complete mask: 'kv' is {kv!r}, expected any or all")
    mask = Mask.zeros(layout, kv)
    try:
        model.require_same(ModelIdentity(**artifact.record["model"]), str(path))
        for key, flags in mask.selected.items():
            flags[artifact.tensors[f"selected/{key}"].to(torch.int64)] = True
    except (KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"{path} is not a complete mask: {error!r}") from error
    return mask, artifact.record


def _sizes(units: object) -> str:
    if not isinstance(units, dict):
        return "no units"
    totals: dict[str, int] = {}
    for key, count in units.items():
        kind = str(key).partition("/")[0]
        totals[kind] = totals.get(kind, 0) + int(count)
    layers = {str(key).partition("/")[2] for key in units}
    return ", ".join(f"{count} {kind}" for kind, count in totals.items()) + f" in {len(layers)} layers"
