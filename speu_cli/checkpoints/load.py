"""Load a fine-tuned checkpoint folder: safetensors only, local only, no code of its own."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from speu_cli.checkpoints.adapters import Adapter, merge_adapter, read_adapter
from speu_cli.checkpoints.heads import SEQUENCE, HeadKind, head_of
from speu_cli.checkpoints.identity import ModelIdentity, identify
from speu_cli.checkpoints.processors import Processor, first_line, load_processor
from speu_cli.errors import ArtifactError, InputError, ResourceError

SPREAD = "auto"
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


class BrokenConfigError(ArtifactError):
    """The folder has no ``config.json`` that a model could be made from."""

    def __init__(self, folder: Path, why: object) -> None:
        words = " ".join(" ".join(str(why).splitlines()[:2]).split())
        super().__init__(
            f"{folder} has no readable config.json: {words}", hint="expected a Hugging Face checkpoint"
        )


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its tokenizer, or its image processor.

    Attributes:
        folder: Where it was read from.
        model: In eval mode, parameters in float32 without gradients.
        tokenizer: Its tokenizer; of a model for images its image processor.
        stored_dtype: Type of the weights in the file, for writing them back as they were.
        identity: Content hashes of weights, configuration and tokenizer.
        adapter: What the folder holds, if that is no whole model; it is merged into its base.
    """

    folder: Path
    model: PreTrainedModel
    tokenizer: Processor
    stored_dtype: torch.dtype
    identity: ModelIdentity
    adapter: Adapter | None = None


def load_checkpoint(folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Load a fine-tuned model, with the head that its configuration names; without one, for sequences.

    Args:
        folder: A checkpoint folder with ``config.json``, ``*.safetensors``, and files of a tokenizer or of an
            image processor; or an adapter's.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` spreads the layers over all GPUs.
        dtype: Type to compute in. Default: float32, whatever the file holds, for squares need it.

    Returns:
        The checkpoint, whose identity is that of the weights in float32.

    Raises:
        ArtifactError: The folder holds no such checkpoint, a pickled one, or one without a trained head.
    """
    config = read_config(folder)
    head = head_of(config) or SEQUENCE
    check_device(device)
    adapter = read_adapter(folder)
    source = adapter.base if adapter else folder
    require_safetensors(source, head)
    try:
        with without_bars():
            model, report = head.auto_class.from_pretrained(
                source,
                config=config,
                dtype="auto",
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
                device_map=SPREAD if device == SPREAD else None,
            )
    except Exception as error:  # from_pretrained raises many types, each meaning "not loadable"
        raise ArtifactError(f"cannot load the weights in {source}: {first_line(error)}") from error
    if adapter:
        model = merge_adapter(model, adapter)
        report["missing_keys"] = set(report["missing_keys"]) - adapter.whole
        report["mismatched_keys"] = [one for one in report["mismatched_keys"] if one[0] not in adapter.whole]
    for name, stored_shape, shape in report["mismatched_keys"]:
        raise ArtifactError(
            f"weight '{name}' in {folder} has shape {list(stored_shape)}, its config.json says {list(shape)}"
        )
    if report["missing_keys"]:
        raise ArtifactError(
            f"{folder} lacks weights for {', '.join(sorted(report['missing_keys'])[:3])}, "
            f"expected a model fine-tuned for {head.name}",
            hint="fine-tune it first, for example with 'speu train'",
        )
    require_all_taken(report["unexpected_keys"], model, folder)
    require_on_devices(model)
    stored = model.dtype
    model.eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise ArtifactError(f"weight '{name}' in {folder} holds NaN or infinity, expected finite numbers")
    tokenizer = load_processor(adapter.tokenizer if adapter else folder, config, images=head.reads_images)
    identity = identify(model, tokenizer)
    cast(model, dtype)
    placed = model if device == SPREAD else model.to(device)
    return Checkpoint(folder, placed, tokenizer, stored, identity, adapter)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the library's progress bars away: reading and writing weights takes a moment."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


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
        BrokenConfigError: The folder has no readable ``config.json``.
        ArtifactError: The model would run code of its own.
    """
    if not folder.is_dir():
        raise InputError(
            f"model folder not found: {folder}",
            hint="give a local checkpoint folder; models are never downloaded",
        )
    adapter = read_adapter(folder)
    if adapter:
        of_base = read_config(adapter.base)
        if adapter.outputs is not None and adapter.outputs != of_base.num_labels:
            of_base.num_labels = adapter.outputs
        return of_base
    try:
        fields = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenConfigError(folder, error) from error
    if not isinstance(fields, dict):
        raise BrokenConfigError(folder, f"it holds {type(fields).__name__}, expected a JSON object")
    if "auto_map" in fields:
        raise ArtifactError(f"{folder}/config.json asks for code of its own, which speu never runs")
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # many types, each meaning "not a configuration"
        raise BrokenConfigError(folder, error) from error
    return config


def require_safetensors(folder: Path, head: HeadKind = SEQUENCE) -> None:
    """Refuse a folder without safetensors weights.

    Args:
        folder: The checkpoint folder.
        head: That the model should have.

    Raises:
        ArtifactError: The weights are pickled, or there are none.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        convert = (
            f'python -c "from transformers import {head.auto_class.__name__} as M; '
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
    if device == SPREAD:
        return
    kind, _, index = device.partition(":")
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in counts or (index and not index.isdigit()):
        raise InputError(f"no device '{device}', expected cpu, cuda, cuda:N, mps or auto")
    if int(index or 0) >= counts[kind]:
        raise ResourceError(f"device '{device}' is not available here", hint="use --device cpu")


def require_on_devices(model: PreTrainedModel) -> None:
    """Refuse a model that does not fit on the devices that compute.

    Args:
        model: As loaded, perhaps spread over several devices.

    Raises:
        ResourceError: Layers were put off to the machine's memory or to the disk.
    """
    places = {str(place) for place in getattr(model, "hf_device_map", {}).values()}
    if "disk" in places or ("cpu" in places and len(places) > 1):
        raise ResourceError(
            f"the model does not fit on this machine's {torch.cuda.device_count()} GPUs, "
            "expected room for all of its weights",
            hint="use more GPUs, --dtype bfloat16 or --device cpu",
        )


def require_all_taken(left_over: Iterable[str], model: PreTrainedModel, folder: Path) -> None:
    """Refuse a configuration with fewer layers than the weights have.

    Args:
        left_over: Weights in the folder that the model has no place for. Other heads' may be among them,
            a pooler's, and the tables of positions that old versions kept.
        model: The model.
        folder: Where it was read from.

    Raises:
        ArtifactError: Weights of the encoder are left over.
    """
    prefix, parts = f"{model.base_model_prefix}.", dict(model.base_model.named_children()).keys() - {"pooler"}
    of_encoder = sorted(
        name
        for name in left_over
        if name.removeprefix(prefix).partition(".")[0] in parts and not name.endswith("position_ids")
    )
    if of_encoder:
        raise ArtifactError(
            f"config.json in {folder} has no place for {', '.join(of_encoder[:3])}, "
            "expected the one that belongs to the weights"
        )
