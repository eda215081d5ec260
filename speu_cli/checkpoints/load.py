"""Load a fine-tuned checkpoint folder: safetensors only, local only, no code of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speu_cli.checkpoints.identity import ModelIdentity, identify
from speu_cli.errors import ArtifactError, InputError, ResourceError

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its tokenizer.

    Attributes:
        folder: Where it was read from.
        model: In eval mode, parameters in float32 without gradients.
        tokenizer: Its tokenizer.
        stored_dtype: Type of the weights in the file, for writing them back as they were.
        identity: Content hashes of weights, configuration and tokenizer.
    """

    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stored_dtype: torch.dtype
    identity: ModelIdentity


def load_checkpoint(folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Load a fine-tuned sequence classification or regression model.

    Args:
        folder: A checkpoint folder with ``config.json``, ``*.safetensors`` and tokenizer files.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …
        dtype: Type to compute in. Default: float32, whatever the file holds, for squares need it.

    Returns:
        The checkpoint, whose identity is that of the weights as loaded.

    Raises:
        ArtifactError: The folder holds no such checkpoint, a pickled one, or one without a trained head.
    """
    config = read_config(folder)
    check_device(device)
    require_safetensors(folder)
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # from_pretrained raises many types, each meaning "not loadable"
        raise ArtifactError(f"cannot load the weights in {folder}: {_first_line(error)}") from error
    if report["missing_keys"]:
        raise ArtifactError(
            f"{folder} lacks weights for {', '.join(sorted(report['missing_keys'])[:3])}, "
            "expected a model fine-tuned for sequence classification or regression",
            hint="fine-tune it first, for example with 'speu train'",
        )
    stored = model.dtype
    cast(model, dtype)
    model.eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise ArtifactError(f"weight '{name}' in {folder} holds NaN or infinity, expected finite numbers")
    tokenizer = load_tokenizer(folder)
    return Checkpoint(folder, model.to(device), tokenizer, stored, identify(model, tokenizer))


def cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Change the type of a model's floating-point tensors, in place."""
    torch.nn.Module.to(model, dtype)  # the override in transformers hides the arguments from type checkers


def read_config(folder: Path) -> PretrainedConfig:
    """Read a checkpoint folder's configuration.

    Args:
        folder: The checkpoint folder.

    Returns:
        The configuration.

    Raises:
        InputError: There is no such folder.
        ArtifactError: The folder has no readable ``config.json``.
    """
    if not folder.is_dir():
        raise InputError(
            f"model folder not found: {folder}",
            hint="give a local checkpoint folder; models are never downloaded",
        )
    try:
        fields: dict[str, Any] = json.loads((folder / "config.json").read_text())
        if not isinstance(fields, dict) or "auto_map" in fields:
            raise ArtifactError(f"{folder}/config.json asks for code of its own, which speu never runs")
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return config
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{folder} has no readable config.json: {_first_line(error)}",
            hint="expected a Hugging Face checkpoint",
        ) from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a checkpoint folder's tokenizer.

    Args:
        folder: The checkpoint folder.

    Returns:
        The tokenizer.

    Raises:
        ArtifactError: The folder has no loadable tokenizer.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # as for the weights
        raise ArtifactError(f"cannot load the tokenizer in {folder}: {_first_line(error)}") from error
    return tokenizer


def require_safetensors(folder: Path) -> None:
    """Refuse a folder without safetensors weights.

    Args:
        folder: The checkpoint folder.

    Raises:
        ArtifactError: The weights are pickled, or there are none.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        convert = (
            'python -c "from transformers import AutoModelForSequenceClassification as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}-safetensors')\""
        )
        raise ArtifactError(
            f"{folder} holds pickled weights ({pickled[0]}), expected *.safetensors: "
            "a pickle can run code when opened",
            hint=f"if you trust it, convert it with: {convert}, and copy the tokenizer files",
        )
    raise ArtifactError(f"{folder} holds no weights, expected model.safetensors")


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …

    Raises:
        InputError: It is not the name of a device.
        ResourceError: This machine has none of that name.
    """
    kind, _, index = device.partition(":")
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in counts or (index and not index.isdigit()):
        raise InputError(f"no device '{device}', expected cpu, cuda, cuda:N or mps")
    if int(index or 0) >= counts[kind]:
        raise ResourceError(f"device '{device}' is not available here", hint="use --device cpu")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
