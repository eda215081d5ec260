"""The file format of statistics and masks: safetensors with one metadata key, ``speu``.

The key holds canonical JSON, so that equal inputs give equal bytes, and in it ``sha256`` over the rest
of the JSON and all tensors, so that any change of the file is found. See ``docs/file-formats.md``.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from speu_cli.artifacts.atomic import atomic_file
from speu_cli.artifacts.digest import canonical_json, hash_tensors, hash_text
from speu_cli.errors import ArtifactError, InputError
from speu_cli.version import __version__

FORMAT_VERSION = 1
MAX_HEADER = 100 * 2**20
MAX_RECORD = 64 * 2**10
HEADER_LENGTH_BYTES = 8
# What the header is padded to a multiple of, and its names of types.
ALIGNMENT = 8
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}

Record = dict[str, Any]


class CorruptArtifactError(ArtifactError):
    """The file's bytes are not those that were written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is corrupt: {why}", hint="restore it from a copy, or compute it again")


@dataclass(frozen=True)
class Artifact:
    """A verified file.

    Attributes:
        path: Where it was read from.
        record: What the metadata key says.
        tensors: All tensors by name, finite.
    """

    path: Path
    record: Record
    tensors: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """SHA-256 that names the content."""
        return str(self.record["sha256"])


def write_artifact(
    target: Path, kind: str, record: Record, tensors: Mapping[str, Tensor], *, force: bool
) -> str:
    """Write an artifact atomically.

    Args:
        target: File to write.
        kind: ``statistics`` or ``mask``.
        record: JSON values that describe the content; no clock, host or path.
        tensors: By name.
        force: Replace an existing file.

    Returns:
        The digest of the content.
    """
    full = _full(kind, record)
    full["sha256"] = _digest(full, tensors)
    stored = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_file(target, force=force) as temporary:
        save_file(stored, temporary, metadata={"speu": canonical_json(full)})
    return str(full["sha256"])


def artifact_size(kind: str, record: Record, tensors: Mapping[str, Tensor]) -> int:
    """Bytes of the file that :func:`write_artifact` would write.

    Args:
        kind: As there.
        record: Likewise.
        tensors: Likewise; they may be without content, on the meta device.

    Returns:
        The size, exactly.
    """
    full = _full(kind, record) | {"sha256": hash_text("")}
    header: dict[str, Any] = {"__metadata__": {"speu": canonical_json(full)}}
    end = 0
    for name in sorted(tensors, key=lambda one: (-tensors[one].dtype.itemsize, one)):  # the library's order
        tensor, begin = tensors[name], end
        end += tensor.nbytes
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return HEADER_LENGTH_BYTES + length + -length % ALIGNMENT + end


def read_artifact(path: Path, kind: str | None = None) -> Artifact:
    """Read an artifact and verify every byte of it.

    Args:
        path: File to read.
        kind: The kind that is expected. Default: any.

    Returns:
        The artifact.

    Raises:
        InputError: There is no such file.
        CorruptArtifactError: Its bytes are not those that were written.
        ArtifactError: It is not an artifact, or not of that kind, or of another version.
    """
    record = _read_record(path, kind)
    tensors = _read_tensors(path, lambda _: True)
    unsigned = {key: value for key, value in record.items() if key != "sha256"}
    if record.get("sha256") != _digest(unsigned, tensors):
        raise CorruptArtifactError(path, "its content does not match its checksum")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ArtifactError(f"{path}: tensor '{name}' holds NaN or infinity, expected finite numbers")
    return Artifact(path, record, tensors)


def peek_artifact(path: Path, kind: str, wanted: Callable[[str], bool]) -> Artifact:
    """Read the record and some of the tensors, without the time that it takes to verify all bytes.

    Args:
        path: File to read.
        kind: The kind that is expected.
        wanted: Tells by its name whether a tensor is read.

    Returns:
        The part of the artifact that was read, whose bytes may be damaged.

    Raises:
        InputError: There is no such file.
        CorruptArtifactError: It cannot be read.
        ArtifactError: It is not an artifact of that kind, or of another version.
    """
    return Artifact(path, _read_record(path, kind), _read_tensors(path, wanted))


def _full(kind: str, record: Record) -> Record:
    """A record with what every artifact says of itself."""
    return {"format": "speu", "version": FORMAT_VERSION, "kind": kind, **record}


def _digest(record: Record, tensors: Mapping[str, Tensor]) -> str:
    return hash_tensors(tensors, preamble=canonical_json(record))


def _read_record(path: Path, kind: str | None) -> Record:
    """Read the record of a file of this version, and of a kind if one is expected.

    Args:
        path: File to read.
        kind: The kind that is expected.

    Returns:
        The record.

    Raises:
        InputError: There is no such file.
        ArtifactError: It is of another version or kind.
        CorruptArtifactError: It is not as it was written.
    """
    if not path.is_file():
        raise InputError(f"file not found: {path}" if not path.exists() else f"{path} is not a file")
    record, text = _parse_record(path)
    if record.get("version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {record.get('version')!r}, this speu reads version {FORMAT_VERSION}",
            hint="use the speu that wrote it, or write it again with this one",
        )
    # Byte for byte: the same number can be spelled with another last digit.
    if canonical_json(record) != text:
        raise CorruptArtifactError(path, "its record is not as it was written")
    if kind is not None and record.get("kind") != kind:
        raise ArtifactError(f"{path} is a {record.get('kind')!r} file, expected {kind!r}")
    return record


def _read_tensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """Read tensors by name.

    Args:
        path: File to read.
        wanted: Which.

    Returns:
        They.

    Raises:
        CorruptArtifactError: They are not readable.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptArtifactError(path, str(error)) from error


def _parse_record(path: Path) -> tuple[Record, str]:
    """Read the metadata key, with our own parser, for the library's lets duplicate keys pass.

    Args:
        path: File to read.

    Returns:
        The record, and the text that it was read from.

    Raises:
        ArtifactError: The header is not that of an artifact.
        CorruptArtifactError: The header is not readable.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if not 0 < length <= min(MAX_HEADER, size - HEADER_LENGTH_BYTES):
            raise CorruptArtifactError(path, "its header is not that of a safetensors file")
        header = file.read(length)
    try:
        metadata = json.loads(header, object_pairs_hook=_unique)["__metadata__"]
        text = metadata["speu"]
        if len(text) > MAX_RECORD:
            raise CorruptArtifactError(path, f"its record is longer than {MAX_RECORD} bytes")
        record = json.loads(text, object_pairs_hook=_unique)
        canonical_json(record).encode()  # fails for what was never written, such as NaN
    except KeyError as error:
        raise ArtifactError(
            f"{path} was not written by speu", hint="expected a statistics or mask file"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptArtifactError(path, f"its header is not readable ({type(error).__name__})") from error
    if not isinstance(record, dict) or record.get("format") != "speu":
        raise ArtifactError(f"{path} was not written by speu", hint="expected a statistics or mask file")
    return record, text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate key")
    return fields


def library_versions() -> dict[str, str]:
    """Versions that an artifact was made with."""
    return {"speu": __version__, "torch": torch.__version__}
