"""``speu inspect``: any file that speu wrote, for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speu_cli.artifacts.format import Artifact, read_artifact
from speu_cli.checkpoints.write import RECORD_NAME, read_record
from speu_cli.errors import ArtifactError, InputError
from speu_cli.masks.files import ENTRIES
from speu_cli.masks.files import KIND as MASK
from speu_cli.masks.picture import check_picture, draw_mask
from speu_cli.stages.model_counts import model_counts
from speu_cli.statistics.files import KIND as STATISTICS


@dataclass(frozen=True)
class InspectResult:
    """What a file holds.

    Attributes:
        path: The file, or the checkpoint folder.
        kind: ``statistics``, ``mask``, ``reference``, ``unlearning`` or ``training``.
        record: All that it says of itself.
        tensors: Number of tensors and their bytes; of a checkpoint folder None.
        summary: A few lines for a person, label and value.
        picture: PNG of the mask, if one was asked for.
    """

    path: Path
    kind: str
    record: dict[str, Any]
    tensors: dict[str, int] | None
    summary: list[tuple[str, str]]
    picture: Path | None


def inspect(path: Path, *, picture: Path | None = None, force: bool = False) -> InspectResult:
    """Read and verify a statistics file, a mask or a checkpoint folder's record.

    Args:
        path: File, or checkpoint folder that speu wrote.
        picture: PNG of the mask to write; for masks only.
        force: Replace an existing picture.

    Returns:
        What it holds.

    Raises:
        InputError: A picture of something that is not a mask.
        ArtifactError: A folder without a record.
    """
    if picture is not None:
        check_picture(picture, force=force, inputs=[path])
    if path.is_dir():
        record = read_record(path)
        if record is None:
            raise ArtifactError(f"{path} has no {RECORD_NAME}: speu did not write this checkpoint")
        artifact = Artifact(path, record, {})
    else:
        artifact = read_artifact(path)
    kind = str(artifact.record.get("kind"))
    if picture is not None:
        if kind != MASK:
            raise InputError(f"{path} is a {kind} file, only a mask can be drawn")
        draw_mask(selected_units(artifact), picture, force=force)
    sizes = [tensor.numel() * tensor.element_size() for tensor in artifact.tensors.values()]
    return InspectResult(
        path=path,
        kind=kind,
        record=artifact.record,
        tensors={"count": len(sizes), "bytes": sum(sizes)} if sizes else None,
        summary=_summarize(artifact),
        picture=picture,
    )


def _summarize(artifact: Artifact) -> list[tuple[str, str]]:
    """Describe an artifact that has all that its kind has.

    Returns:
        A few lines for a person.

    Raises:
        ArtifactError: Something is missing.
    """
    try:
        lines = _SUMMARIES.get(str(artifact.record.get("kind")), _summarize_record)(artifact)
        return [*lines, *model_counts(artifact.path, artifact.record)] if artifact.path.is_dir() else lines
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{artifact.path} is not complete: {error!r}") from error


def _summarize_statistics(artifact: Artifact) -> list[tuple[str, str]]:
    data, tensors = artifact.record["data"], artifact.tensors
    losses = tensors["holdout_losses"]
    unseen = (
        f"mean loss {losses.double().mean():.4f} over {len(losses)} held-out examples"
        if len(losses)
        else "not known"
    )
    return [
        *_summarize_record(artifact),
        *_summarize_collection(artifact),
        ("examples", _examples_in_sums(data)),
        *_summarize_fisher(tensors),
        ("unseen", unseen),
    ]


def _summarize_collection(artifact: Artifact) -> list[tuple[str, str]]:
    """What there are sums of."""
    collected, shard = artifact.record["collected"], artifact.record["shard"]
    parts = {"parameters": collected["parameters"], "mask variables": collected["mask_statistics"]}
    lines = [
        ("scope", str(collected["scope"])),
        ("sums of", " and ".join(part for part, there in parts.items() if there)),
        ("computed in", str(collected["dtype"])),
    ]
    if collected["mask"] is not None:
        lines.append(("only slices of", f"the mask with sha256 {collected['mask']}"))
    if shard is not None:
        lines.append(("shard", f"{shard['index']} of {shard['of']}: to be merged"))
    directions = collected.get("directions")
    if directions is not None:
        most = f"{directions['examples']:,}"
        lines.append(
            ("directions", f"{directions['count']} of {directions['kind']}, of at most {most} examples")
        )
    sample = [name.partition("/")[2] for name in artifact.tensors if name.startswith("mask_rows/")]
    if sample:
        size = len(artifact.tensors["sampled"])
        lines.append(("sample", f"{size:,} examples in place of the mask Fisher of {len(sample)} groups"))
    return lines


def _examples_in_sums(data: Mapping[str, Any]) -> str:
    of_shards = "" if data["planned"] == data["used"] else f", {data['planned']} in those of all shards"
    return f"{data['used']} of {data['count']} in the sums{of_shards}"


def _summarize_fisher(tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, str]]:
    """How many parameters there are sums of, and where the curvature is largest."""
    fisher = {name: tensor for name, tensor in tensors.items() if name.startswith("fisher/")}
    if not fisher:
        return []
    largest = sorted(fisher, key=lambda name: -float(fisher[name].mean(dtype=torch.float64)))[:3]
    return [
        ("parameters", f"{sum(tensor.numel() for tensor in fisher.values()):,} in {len(fisher)} tensors"),
        ("sharpest", ", ".join(name.removeprefix("fisher/") for name in largest)),
    ]


def _summarize_mask(artifact: Artifact) -> list[tuple[str, str]]:
    selected, objective = selected_units(artifact), artifact.record["objective"]
    forget = artifact.record["forget"]
    lines = [
        *_summarize_record(artifact),
        ("made for", f"{forget['count']} forget examples" if forget else "any request"),
    ]
    if objective is not None:
        found = f"{objective['before']:.6g} → {objective['after']:.6g} after {objective['swaps']} swaps"
        lines.append(("objective", found))
    for kind in ("heads", "filters"):
        layers = {key: flags for key, flags in selected.items() if key.startswith(kind)}
        total, chosen = sum(map(len, layers.values())), sum(int(flags.sum()) for flags in layers.values())
        by_layer = " ".join(str(int(flags.sum())) for flags in layers.values())
        lines.append((kind, f"{chosen} of {total} updated, by layer: {by_layer}"))
    within = [flags for name, flags in artifact.tensors.items() if name.startswith(ENTRIES)]
    if within:
        counts = sum(int(flags.sum()) for flags in within), sum(flags.numel() for flags in within)
        lines.append(("weights", f"{counts[0]:,} of {counts[1]:,} in these units updated"))
    return lines


def _summarize_record(artifact: Artifact) -> list[tuple[str, str]]:
    record = artifact.record
    model = record.get("model") or record.get("model_after") or {}
    lines = [("kind", str(record.get("kind")))]
    if model:
        lines.append(("model", f"{model.get('architecture')} {str(model.get('weights'))[:12]}"))
    for name in ("encoding", "settings", "step", "method", "rate", "loss_before", "loss_after", "versions"):
        if record.get(name) is not None:
            lines.append((name.replace("_", " "), _readable(record[name])))
    return lines


_SUMMARIES = {STATISTICS: _summarize_statistics, MASK: _summarize_mask}


def _readable(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_readable(part)}" for key, part in value.items() if part is not None)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def selected_units(artifact: Artifact) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Unpack the indices that a mask file holds.

    Returns:
        Flags of the selected units by group.

    Raises:
        ArtifactError: An index is outside its group.
    """
    flags = {}
    try:
        for key, count in artifact.record["units"].items():
            chosen = torch.zeros(count, dtype=torch.bool)
            chosen[artifact.tensors[f"selected/{key}"]] = True
            flags[key] = chosen.numpy()
    except (KeyError, IndexError, TypeError) as error:
        raise ArtifactError(f"{artifact.path} is not a complete mask: {error!r}") from error
    return flags
