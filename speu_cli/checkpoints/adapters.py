"""Checkpoints that are adapters, such as LoRA's: merged into their base model on the way in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import PreTrainedModel

from speu_cli.errors import ArtifactError, InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# What models call the module that answers, whose number of outputs the base's configuration may not know.
ANSWERING = ("score", "classifier", "out_proj")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class Adapter:
    """A folder with changes of a base model.

    Attributes:
        folder: The folder.
        base: Folder of the base model.
        kind: As peft calls it: ``LORA`` …
        names: Of its tensors, as they are in the file.
        outputs: How many the model has, where the adapter holds what answers.
    """

    folder: Path
    base: Path
    kind: str
    names: frozenset[str]
    outputs: int | None

    @property
    def whole(self) -> set[str]:
        """Parameters of the model that the adapter holds whole."""
        return {name.removeprefix(PREFIX) for name in self.names}

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer: its own, or the base's."""
        has_one = any((self.folder / name).is_file() for name in TOKENIZER_FILES)
        return self.folder if has_one else self.base


def read_adapter(folder: Path) -> Adapter | None:
    """Read what a folder with an adapter says of it.

    Args:
        folder: A checkpoint folder.

    Returns:
        The adapter; None if the folder holds a whole model, or nothing.

    Raises:
        ArtifactError: It holds an adapter that is broken or pickled.
        InputError: The base model is not in a folder on this machine.
    """
    path = folder / CONFIG
    if not path.is_file() or (folder / "config.json").exists():
        return None
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        base, kind = str(fields["base_model_name_or_path"]), str(fields["peft_type"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is no configuration of an adapter: {error!r}") from error
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").exists()
        raise ArtifactError(
            f"{folder} holds {'a pickled adapter' if pickled else 'no weights of an adapter'}, "
            f"expected {WEIGHTS}",
            hint="save it again with peft's save_pretrained" if pickled else None,
        )
    places = [place for place in (Path(base), folder / base) if (place / "config.json").is_file()]
    if not places:
        raise InputError(
            f"{folder} is an adapter of '{base}', which is no folder of a model on this machine",
            hint=f"models are never downloaded: fetch it, and name its folder in {path}",
        )
    names, outputs = _tensors(folder / WEIGHTS)
    return Adapter(folder, places[0], kind, names, outputs)


def _tensors(path: Path) -> tuple[frozenset[str], int | None]:
    """Names in an adapter file, and how many outputs its answering module has, if it has one."""
    outputs = None
    try:
        with safe_open(path, framework="pt") as file:
            names = frozenset(file.keys())
            for name in names:
                module, _, parameter = name.rpartition(".")
                if parameter == "weight" and module.rpartition(".")[2] in ANSWERING and "lora_" not in name:
                    outputs = int(file.get_slice(name).get_shape()[0])
    except Exception as error:  # safetensors has an error of its own, which is no OSError
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return names, outputs


def merge_adapter(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """Merge an adapter into its base model, in the type of the base's weights, by peft's own sums.

    Args:
        model: The base model; its weights are changed.
        adapter: The adapter.

    Returns:
        The model, without a trace of the adapter.

    Raises:
        InputError: peft is not installed.
        ArtifactError: The adapter does not fit the model, or is of a kind that cannot be merged.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise InputError(
            f"{adapter.folder} is an adapter, and peft, which merges adapters, is not installed",
            hint="pip install 'speu[lora]'",
        ) from error
    try:
        wrapped = PeftModel.from_pretrained(model, str(adapter.folder), autocast_adapter_dtype=False)
        expected = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
        merge: Callable[[], PreTrainedModel] | None = getattr(wrapped, "merge_and_unload", None)
        if wrapped.active_peft_config.is_prompt_learning or merge is None:
            merged = None
        else:
            merged = merge()
    except Exception as error:  # peft raises many types, each meaning "not mergeable"
        words = " ".join(str(error).split())
        raise ArtifactError(f"cannot merge the adapter in {adapter.folder}: {words[:200]}") from error
    if merged is None:
        raise ArtifactError(
            f"{adapter.folder} is an adapter of kind {adapter.kind}, which adds inputs and no weights, so it "
            "cannot be merged; expected LoRA or its like",
        )
    lacking = sorted(expected - adapter.names)
    odd = sorted(name for name in adapter.names - expected if "lora_" in name)
    if lacking or odd:
        shown = f"it lacks {lacking[0]}" if lacking else f"the base has no place for {odd[0]}"
        raise ArtifactError(f"the adapter in {adapter.folder} does not fit its base {adapter.base}: {shown}")
    return merged
