"""Statistics files: sums over the training set, and what they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speu_cli.artifacts.format import (
    Artifact,
    Record,
    artifact_size,
    library_versions,
    peek_artifact,
    read_artifact,
    write_artifact,
)
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import Checkpoint
from speu_cli.data.shards import Shard
from speu_cli.errors import ArtifactError
from speu_cli.statistics.directions import Directions
from speu_cli.statistics.sums import OF_DIRECTIONS, SUMS, Statistics, Tensors
from speu_cli.statistics.validity import (
    require_directions,
    require_one_each,
    require_sample,
    require_squares,
)
from speu_cli.statistics.wanted import Scope, wanted_parameters, wanted_slices
from speu_cli.structures.entries import taken_shape
from speu_cli.structures.layout import Layout
from speu_cli.structures.mask import KeyValue, Mask
from speu_cli.tasks.settings import EncodingSettings

KIND = "statistics"
MAPPINGS = (*SUMS, "mask_rows", OF_DIRECTIONS)
OF_TRAINING = {"rows", "used", "losses", "strata"}
OF_UNSEEN = {"holdout_losses", "holdout_strata", "holdout_terms"}
SINGLE = OF_TRAINING | OF_UNSEEN | {"sampled", "direction_weights"}

Strata = npt.NDArray[np.int64] | npt.NDArray[np.float32]
ComputedIn = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Collection:
    """What a statistics file has sums of.

    Attributes:
        scope: ``structures``: the parameters that heads and filters own parts of; or ``all``.
        parameters: Whether F and g are there.
        mask_statistics: Whether u and B are there.
        mask: Digest of the mask file whose slices alone F and g hold; None: whole parameters.
        dtype: Type that the model computed in.
        kv: When that mask lets change what several heads share, see :class:`speu_cli.structures.mask.Mask`.
        directions: Which directions are there, of what F and g are of; None: none.

    Raises:
        ValueError: A value is unknown, or they contradict each other.
    """

    scope: Scope
    parameters: bool
    mask_statistics: bool
    mask: str | None
    dtype: ComputedIn
    kv: KeyValue = "any"
    directions: Directions | None = None

    def __post_init__(self) -> None:
        known = self.scope in get_args(Scope) and self.dtype in get_args(ComputedIn)
        known = known and self.kv in get_args(KeyValue)
        known = known and (self.directions is None or self.parameters)
        of_slices = self.mask is None or (self.parameters and self.scope == "structures")
        if not known or not of_slices or not (self.parameters or self.mask_statistics):
            raise ValueError(f"no file holds {asdict(self)}")

    def record(self) -> Record:
        """As JSON values; of directions only where there are some."""
        record = asdict(self)
        return (
            record if self.directions is not None else {k: v for k, v in record.items() if k != OF_DIRECTIONS}
        )

    @classmethod
    def of(cls, record: Record) -> "Collection":
        """Read a :meth:`record`."""
        directions = record.get(OF_DIRECTIONS)
        return cls(**record | {OF_DIRECTIONS: None if directions is None else Directions(**directions)})


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
        collected: What there are sums of.
        planned: Examples in the sums of the whole run: more than were used only in a shard.
        shard: Which part of a divided run this is; None for a whole.
        selected: Numbers of the mask's units, int64 ``[updated units]`` by group, where F and g hold the
            slices of a mask; else None.
        digest: Names the file's content; empty for one not yet written.
        versions: Of the libraries that wrote the file; empty for one not yet written.
        losses: Of the rows that were used, in their order, float64 ``[n]``; None in files that do not tell.
        strata: What is true of these rows, as :meth:`speu_cli.tasks.base.Task.strata`; likewise.
        holdout_strata: Of the unseen examples; likewise.
        holdout_terms: Their losses term by term, float64 ``[n, terms]``, see
            :class:`speu_cli.tasks.base.Task`; None where the loss has no terms, or the file does not tell.
    """

    statistics: Statistics
    rows: npt.NDArray[np.int64]
    used: npt.NDArray[np.bool_]
    holdout_losses: npt.NDArray[np.float64]
    model: ModelIdentity
    settings: EncodingSettings
    seed: int
    collected: Collection
    planned: int
    shard: Shard | None = None
    selected: Tensors | None = None
    digest: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    losses: npt.NDArray[np.float64] | None = None
    strata: Strata | None = None
    holdout_strata: Strata | None = None
    holdout_terms: npt.NDArray[np.float64] | None = None

    @property
    def unseen_loss(self) -> float | None:
        """Mean loss of the held-out examples: what "unseen" looks like to this model."""
        return float(self.holdout_losses.mean()) if len(self.holdout_losses) else None

    def losses_of(self, rows: Sequence[int]) -> npt.NDArray[np.float64] | None:
        """ℓ of rows of D, as a pass over them with the same model gives it.

        Args:
            rows: Their positions.

        Returns:
            float64 ``[rows]``; None where the file does not tell all of them, or not in float32.
        """
        wanted = np.array(rows, dtype=np.int64)
        if self.losses is None or self.collected.dtype != "float32" or not self.used[wanted].all():
            return None
        told: npt.NDArray[np.float64] = self.losses[np.cumsum(self.used)[wanted] - 1]
        return told

    def mask(self, layout: Layout) -> Mask | None:
        """The mask whose slices F and g hold, if they hold no more.

        Args:
            layout: The model's units.

        Returns:
            The mask, or None where F and g are of whole parameters.

        Raises:
            KeyError: The file has other groups of units.
            IndexError: A number is outside its group.
        """
        if self.selected is None:
            return None
        mask = Mask.zeros(layout, self.collected.kv)
        for key in mask.selected.keys() | self.selected.keys():
            mask.selected[key][self.selected[key]] = True
        return mask


def write_statistics(target: Path, file: StatisticsFile, *, force: bool) -> str:
    """Write a statistics file, sums in float32.

    Sums that are not in float32 are taken out of ``file`` as they are converted: it is empty afterwards,
    and memory never holds all of them twice.

    Args:
        target: File to write.
        file: Its content.
        force: Replace an existing file.

    Returns:
        The digest of the content.
    """
    return write_artifact(target, KIND, _record(file), _tensors(file), force=force)


def statistics_size(file: StatisticsFile) -> int:
    """Bytes of the file that :func:`write_statistics` would write.

    Args:
        file: Its content; the sums may be without content, on the meta device.

    Returns:
        The size.
    """
    return artifact_size(KIND, _record(file), _tensors(file))


def _record(file: StatisticsFile) -> Record:
    """What the file says of its tensors, as JSON values."""
    count, used = len(file.rows), file.statistics.count
    return {
        "model": asdict(file.model),
        "encoding": file.settings.to_record(),
        "data": {"count": count, "used": used, "planned": file.planned, "seed": file.seed},
        "collected": file.collected.record(),
        "shard": asdict(file.shard) if file.shard else None,
        "versions": library_versions(),
    }


def _tensors(file: StatisticsFile) -> dict[str, Tensor]:
    """The file's tensors by name, sums in float32; those in other types are taken out of it."""
    tensors: dict[str, Tensor] = {
        "rows": torch.from_numpy(file.rows),
        "used": torch.from_numpy(file.used),
        "holdout_losses": torch.from_numpy(file.holdout_losses).float(),
    }
    if file.losses is not None:
        tensors["losses"] = torch.from_numpy(file.losses).float()
    if file.strata is not None and file.holdout_strata is not None:
        tensors["strata"] = torch.from_numpy(file.strata)
        tensors["holdout_strata"] = torch.from_numpy(file.holdout_strata)
    if file.holdout_terms is not None:
        tensors["holdout_terms"] = torch.from_numpy(file.holdout_terms).float()
    if file.statistics.mask_rows:
        tensors["sampled"] = file.statistics.sampled
    if file.collected.directions is not None:
        tensors["direction_weights"] = file.statistics.direction_weights.float()
    tensors |= {f"selected/{key}": units for key, units in (file.selected or {}).items()}
    for part in MAPPINGS:
        _move(getattr(file.statistics, part), part, tensors)
    return tensors


def _move(sums: Tensors, part: str, tensors: dict[str, Tensor]) -> None:
    for name in list(sums):
        tensors[f"{part}/{name}"] = sums[name].float()
        if sums[name].dtype != torch.float32 and isinstance(sums, dict):
            del sums[name]


def read_statistics(path: Path, *, dtype: torch.dtype = torch.float64) -> StatisticsFile:
    """Read and verify a statistics file.

    Args:
        path: File to read.
        dtype: Of the sums; float32, as they are stored, makes no copy.

    Returns:
        Its content, the sample of mask gradients and the directions in float32.
    """
    return _unpacked(read_artifact(path, KIND), dtype)


def peek_statistics(path: Path) -> StatisticsFile:
    """Read all but the sums of a statistics file, in no time, and without verifying its bytes.

    Args:
        path: File to read.

    Returns:
        Its content, with empty sums.
    """
    artifact = peek_artifact(path, KIND, lambda name: name.partition("/")[0] not in MAPPINGS)
    return _unpacked(artifact, torch.float64)


def _unpacked(artifact: Artifact, dtype: torch.dtype) -> StatisticsFile:
    """Unpack a file.

    Args:
        artifact: The file; its tensors are taken out.
        dtype: Of the sums.

    Returns:
        Its content.

    Raises:
        ArtifactError: It is not complete, or contradicts itself.
    """
    try:
        return _unpack(artifact, dtype)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(f"{artifact.path} is not a complete statistics file: {error!r}") from error


def _unpack(artifact: Artifact, dtype: torch.dtype) -> StatisticsFile:
    record, tensors, path = artifact.record, artifact.tensors, artifact.path
    rows, used = tensors["rows"], tensors["used"]
    if rows.ndim != 1 or rows.shape != used.shape or int(used.sum()) != record["data"]["used"]:
        raise ArtifactError(f"{path}: 'rows' and 'used' do not fit each other or their count")
    losses, strata, unseen = (tensors.get(name) for name in ("losses", "strata", "holdout_strata"))
    of_used = {"losses": losses, "strata": strata}
    require_one_each(of_used, rows[used], "used", path)
    terms = tensors.get("holdout_terms")
    of_unseen = {"holdout_strata": unseen, "holdout_terms": None if terms is None else terms[:, 0]}
    require_one_each(of_unseen, tensors["holdout_losses"], "holdout_losses", path)
    if (strata is None) != (unseen is None):
        raise ArtifactError(f"{path}: 'strata' and 'holdout_strata' are not there together")
    parts = _take_mappings(tensors, path, dtype)
    selected = parts.pop("selected")
    sampled = tensors.get("sampled", torch.zeros(0, dtype=torch.int64))
    weights = tensors.get("direction_weights", torch.zeros(0)).double()
    statistics = Statistics(int(record["data"]["used"]), **parts, sampled=sampled, direction_weights=weights)
    require_squares(statistics, path)
    require_sample(statistics, rows[used], path)
    collected = Collection.of(record["collected"])
    if (collected.mask is None) != (not selected):
        raise ArtifactError(f"{path}: 'selected' and the mask of 'collected' do not fit each other")
    shard = Shard(**record["shard"]) if record["shard"] is not None else None
    planned = int(record["data"]["planned"])
    if planned < statistics.count or (shard is None and planned != statistics.count):
        raise ArtifactError(f"{path}: {statistics.count} of {planned} planned examples are in the sums")
    require_directions(statistics, collected.directions, path, part=shard is not None)
    return StatisticsFile(
        statistics=statistics,
        rows=rows.numpy(),
        used=used.numpy(),
        holdout_losses=tensors["holdout_losses"].double().numpy(),
        model=ModelIdentity(**record["model"]),
        settings=EncodingSettings.from_record(record["encoding"]),
        seed=int(record["data"]["seed"]),
        collected=collected,
        planned=planned,
        shard=shard,
        selected=selected or None,
        digest=artifact.digest,
        versions=dict(record["versions"]),
        losses=None if losses is None else losses.double().numpy(),
        strata=None if strata is None else strata.numpy(),
        holdout_strata=None if unseen is None else unseen.numpy(),
        holdout_terms=None if terms is None else terms.double().numpy(),
    )


def _take_mappings(
    tensors: dict[str, Tensor], path: Path, dtype: torch.dtype
) -> dict[str, dict[str, Tensor]]:
    """Take the tensors with a ``/`` in their names out, converted one by one so that none is kept twice.

    Args:
        tensors: Of the file; only those of :data:`SINGLE` stay.
        path: Where they were read from.
        dtype: Of the sums.

    Returns:
        The parts of the sums, and ``selected``, by name.

    Raises:
        ArtifactError: A name is unknown.
    """
    # What is of a sample needs no more digits than it is stored with: it is not the difference of large sums.
    of_sample = dict.fromkeys(("mask_rows", OF_DIRECTIONS), torch.float32)
    dtypes = {**dict.fromkeys(SUMS, dtype), **of_sample, "selected": torch.int64}
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in dtypes}
    for name in sorted(tensors.keys() - SINGLE):
        part, _, rest = name.partition("/")
        if part not in parts or not rest:
            raise ArtifactError(f"{path}: tensor '{name}' is not one that a statistics file holds")
        parts[part][rest] = tensors.pop(name).to(dtypes[part])
    return parts


def check_statistics(file: StatisticsFile, path: Path, checkpoint: Checkpoint, layout: Layout) -> None:
    """Refuse statistics of another model.

    Args:
        file: The statistics.
        path: Where they were read from.
        checkpoint: The model at hand.
        layout: Its units.

    Raises:
        ArtifactError: The statistics are not of this model, or lack what they say that they have.
    """
    checkpoint.identity.require_same(file.model, str(path))
    try:
        shapes = _parameter_shapes(file, checkpoint, layout)
    except (KeyError, IndexError) as error:
        raise ArtifactError(f"{path}: 'selected' is not of this model's units: {error!r}") from error
    expected: dict[str, dict[str, tuple[int, ...]]] = {"fisher": shapes, "gradient": shapes}
    directions = file.collected.directions
    if directions is not None:
        expected[OF_DIRECTIONS] = {name: (directions.count, *shape) for name, shape in shapes.items()}
    expected |= _mask_shapes(file, layout)
    for part, of_model in expected.items():
        of_file = {name: tuple(tensor.shape) for name, tensor in getattr(file.statistics, part).items()}
        odd = sorted(name for name, _ in of_model.items() ^ of_file.items())
        if odd:
            raise ArtifactError(f"{path}: '{part}' of {odd[0]} is missing, not of this model or misshapen")


def _parameter_shapes(
    file: StatisticsFile, checkpoint: Checkpoint, layout: Layout
) -> dict[str, tuple[int, ...]]:
    """Shapes that F and g have, by parameter."""
    if not file.collected.parameters:
        return {}
    mask = file.mask(layout)
    parts = (
        wanted_slices(mask)
        if mask is not None
        else wanted_parameters(checkpoint.model, layout, file.collected.scope)
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in parts.items():
        shape = checkpoint.model.get_parameter(name).shape
        shapes[name] = tuple(taken_shape(shape, part.axes, len(part.indices)) if part is not None else shape)
    return shapes


def _mask_shapes(file: StatisticsFile, layout: Layout) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes that u, B and its sample have, by group; which groups are sampled is up to the file."""
    sample = file.statistics.mask_rows
    groups = {group.key: group.count for group in layout} if file.collected.mask_statistics else {}
    return {
        "mask_gradient": {key: (units,) for key, units in groups.items()},
        "mask_fisher": {key: (units,) if key in sample else (units, units) for key, units in groups.items()},
        "mask_rows": {
            key: (len(file.statistics.sampled), units) for key, units in groups.items() if key in sample
        },
    }
