"""Load a model to start training from: an encoder that gets a new head, or one that has a fitting head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.artifacts.digest import hash_tensors
from speu_cli.checkpoints.adapters import read_adapter
from speu_cli.checkpoints.heads import ANSWERING, MODELLING, SEQUENCE, HeadKind
from speu_cli.checkpoints.identity import ModelIdentity, identify
from speu_cli.checkpoints.load import (
    Checkpoint,
    check_device,
    read_config,
    require_all_taken,
    require_safetensors,
)
from speu_cli.checkpoints.processors import load_processor
from speu_cli.errors import ArtifactError, InputError


@dataclass(frozen=True)
class Head:
    """What the model has to answer.

    Attributes:
        outputs: How many numbers; one for regression.
        names: Names of the classes in order; None: the base's own, if it has as many, else plain numbers.
        kind: What for.
    """

    outputs: int
    names: Sequence[str] | None = None
    kind: HeadKind = SEQUENCE


@dataclass(frozen=True)
class Base:
    """A model to start from.

    Attributes:
        checkpoint: Model and tokenizer; the model will be stored in float32, whatever the base holds.
        identity: Of what the folder holds: of a new head's weights nothing is in it.
        new: Parameters that the folder does not hold, initialised at random.
    """

    checkpoint: Checkpoint
    identity: ModelIdentity
    new: tuple[str, ...]


def load_base(folder: Path, head: Head, *, seed: int, device: str = "cpu") -> Base:
    """Load a pretrained encoder or a fine-tuned model for training.

    A head in the folder is kept if it has as many outputs; else there is a new one.

    Args:
        folder: Folder with ``config.json``, ``*.safetensors`` and tokenizer files.
        head: What the model has to answer.
        seed: Of a new head's weights.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The base, in float32.

    Raises:
        ArtifactError: The folder holds no such model, a pickled one, or only a part of its encoder.
        InputError: It holds an adapter.
    """
    if read_adapter(folder):
        raise InputError(
            f"{folder} holds an adapter, expected a whole model", hint="merge it with peft first"
        )
    config = read_config(folder)
    check_device(device)
    require_safetensors(folder, head.kind)
    _set_head(config, head)
    torch.manual_seed(seed)
    try:
        model, report = head.kind.auto_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # from_pretrained raises many types, each meaning "not loadable"
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"cannot load the weights in {folder}: {reason}") from error
    new = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    lacking = list(_of_encoder(new, model))
    if lacking:
        shown, kind = ", ".join(lacking[:3]), config.model_type
        raise ArtifactError(f"{folder} lacks weights for {shown}, expected a whole {kind} encoder")
    if head.kind is MODELLING and new:
        raise ArtifactError(
            f"{folder} lacks weights for {', '.join(new[:3])}, expected a whole language model",
            hint="a new output layer would have to learn the language from these examples alone",
        )
    require_all_taken(report["unexpected_keys"], model, folder)
    model = model.requires_grad_(False).eval()
    tokenizer = load_processor(folder, config, images=head.kind.reads_images)
    whole = identify(model, tokenizer)
    held = {name: parameter for name, parameter in model.named_parameters() if name not in new}
    checkpoint = Checkpoint(folder, model.to(device), tokenizer, torch.float32, whole)
    return Base(checkpoint, replace(whole, weights=hash_tensors(held)), tuple(new))


def _set_head(config: PretrainedConfig, head: Head) -> None:
    if head.kind is MODELLING:
        return
    if head.kind is ANSWERING:
        config.num_labels = head.outputs
        return
    config.problem_type = "regression" if head.outputs == 1 else "single_label_classification"
    if head.names is None:
        if config.num_labels != head.outputs:
            config.num_labels = head.outputs
    elif set(head.names) != set(config.label2id or {}):  # a head that knows these names keeps its order
        config.id2label = dict(enumerate(head.names))
        config.label2id = {name: index for index, name in config.id2label.items()}


def _of_encoder(names: Iterable[str], model: PreTrainedModel) -> Iterable[str]:
    """Those that a pretrained encoder must have; a pooler belongs to the head, many encoders come without."""
    prefix = f"{model.base_model_prefix}."
    return (name for name in names if name.startswith(prefix) and not name.startswith(f"{prefix}pooler."))
