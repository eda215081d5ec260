"""Mask files: which units may change, their scores, and how they were found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from speu_cli.artifacts.format import Record, library_versions, read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError
from speu_cli.masks.localization import Localized, MaskSettings
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import KeyValue, Mask

KIND = "mask"
ENTRIES = "within/"
# What files that do not say it were made with.
FORMER_SETTINGS = {"objective": "mlr", "within": None}


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
    tensors |= {f"{ENTRIES}{name}": entries for name, entries in (mask.within or {}).items()}
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
        The mask and the file's record, with the settings that older files do not name.

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
        settings = FORMER_SETTINGS | artifact.record["settings"]
    except (KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"{path} is not a complete mask: {error!r}") from error
    mask = replace(mask, within=_entries(artifact.tensors, mask, path))
    if (mask.within is None) != (settings["within"] is None):
        raise ArtifactError(f"{path}: '{ENTRIES}…' and 'within' of its settings do not fit each other")
    return mask, artifact.record | {"settings": settings}


def _entries(tensors: Mapping[str, Tensor], mask: Mask, path: Path) -> dict[str, Tensor] | None:
    """Read which entries of the selected slices may change.

    Args:
        tensors: Of the file.
        mask: Its units.
        path: Where they were read from.

    Returns:
        Flags by parameter; None if there are none.

    Raises:
        ArtifactError: They are no flags, or not of the selected slices.
    """
    found = {name.removeprefix(ENTRIES): flags for name, flags in tensors.items() if name.startswith(ENTRIES)}
    slices = {name: (axes[0], len(indices)) for name, axes, indices in mask.slices()}
    for name, flags in found.items():
        axis, length = slices.get(name, (0, -1))
        if flags.dtype != torch.bool or flags.ndim <= axis or flags.shape[axis] != length:
            raise ArtifactError(f"{path}: '{ENTRIES}{name}' is not flags of what the mask selects")
        # Any other byte would read as true, and the file would not be the one that these flags write.
        if flags.numel() and int(flags.view(torch.uint8).max()) > 1:
            raise ArtifactError(f"{path}: '{ENTRIES}{name}' has bytes other than 0 and 1")
    return found or None


def _sizes(units: object) -> str:
    if not isinstance(units, dict):
        return "no units"
    totals: dict[str, int] = {}
    for key, count in units.items():
        kind = str(key).partition("/")[0]
        totals[kind] = totals.get(kind, 0) + int(count)
    layers = {str(key).partition("/")[2] for key in units}
    return ", ".join(f"{count} {kind}" for kind, count in totals.items()) + f" in {len(layers)} layers"
