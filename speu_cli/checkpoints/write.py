"""Write a changed model as a complete checkpoint folder, beside the one it came from."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from speu_cli.artifacts.atomic import atomic_folder, check_output
from speu_cli.checkpoints.identity import ModelIdentity, identify
from speu_cli.checkpoints.load import Checkpoint, cast, without_bars
from speu_cli.errors import ArtifactError, InputError

RECORD_NAME = "speu.json"
# Weights in any form, and what belongs to a run and not to the model.
NOT_COPIED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*.bin.index.json",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "trainer_state.json",
    "adapter_config.json",
    ".*.lock",
    RECORD_NAME,
)


def check_checkpoint_output(target: Path, *, force: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a folder that could not or must not be written, before any work is done.

    Args:
        target: Folder to come.
        force: An existing checkpoint may be replaced; a folder of anything else never is.
        inputs: What is read; it is not replaced either.

    Raises:
        InputError: It is there, and is not a checkpoint.
    """
    check_output(target, force=force, folder=True, inputs=inputs)
    if target.is_dir() and any(target.iterdir()) and not (target / "config.json").exists():
        raise InputError(f"{target} holds something else than a checkpoint: it is not replaced")


def write_checkpoint(
    checkpoint: Checkpoint,
    target: Path,
    record: dict[str, Any],
    *,
    force: bool,
    extra: Callable[[Path], object] | None = None,
) -> None:
    """Write the model as it is now, in the type it was stored in, with tokenizer, config and a record.

    Files other than weights are copied from the source folder as they are.

    Args:
        checkpoint: Its model is written; its folder gives the other files.
        target: Folder to write, as a whole or not at all.
        record: JSON values, written as ``speu.json``.
        force: Replace an existing folder.
        extra: Is given the unfinished folder to add files to. Default: nothing is added.
    """
    check_checkpoint_output(target, force=force, inputs=[checkpoint.folder])
    computed_in = checkpoint.model.dtype
    with atomic_folder(target, force=force) as folder:
        save_weights(checkpoint, folder)
        cast(checkpoint.model, computed_in)
        for path in _copied_files(checkpoint):
            shutil.copyfile(path, folder / path.name)
        if extra is not None:
            extra(folder)
        (folder / RECORD_NAME).write_text(
            json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n"
        )


def identify_as_stored(checkpoint: Checkpoint) -> ModelIdentity:
    """Who the model is once it has been written in its stored type and loaded again."""
    model, computed_in = checkpoint.model, checkpoint.model.dtype
    cast(model, checkpoint.stored_dtype)
    cast(model, computed_in)
    return identify(model, checkpoint.tokenizer)


def planned_files(checkpoint: Checkpoint, extra: Iterable[str] = ()) -> dict[str, int | None]:
    """Names of the files of a new folder and their sizes in bytes; None where only writing tells.

    Args:
        checkpoint: The model that would be written.
        extra: Further files.

    Returns:
        Sizes by name; that of the weights is without their header.
    """
    width = checkpoint.stored_dtype.itemsize
    weights = sum(parameter.numel() for parameter in checkpoint.model.parameters()) * width
    sizes: dict[str, int | None] = {path.name: path.stat().st_size for path in _copied_files(checkpoint)}
    return sizes | {"model.safetensors": weights, RECORD_NAME: None} | dict.fromkeys(extra)


def _copied_files(checkpoint: Checkpoint) -> list[Path]:
    """The source folder's; those of an adapter's base too, where the tokenizer comes from there."""
    folder, adapter = checkpoint.folder, checkpoint.adapter
    files = [*folder.iterdir()]
    if adapter and adapter.tokenizer != folder:
        own = {path.name for path in files} | {"config.json"}
        files += [path for path in adapter.base.iterdir() if path.name not in own]
    return sorted(
        path for path in files if path.is_file() and not any(path.match(pattern) for pattern in NOT_COPIED)
    )


def save_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the weights and the configuration into a folder."""
    cast(checkpoint.model, checkpoint.stored_dtype)
    with without_bars():
        checkpoint.model.save_pretrained(folder)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read the record of a checkpoint that speu wrote.

    Args:
        folder: A checkpoint folder.

    Returns:
        The record; None if the folder has none.

    Raises:
        ArtifactError: It is there, but not readable.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(record, dict):
        raise ArtifactError(f"{path} holds {type(record).__name__}, expected a JSON object")
    return record
