"""Models without their weights: shapes alone, or random weights, from ``config.json``."""

from copy import deepcopy
from pathlib import Path

import torch
from transformers import PretrainedConfig, PreTrainedModel

from speu_cli.artifacts.digest import hash_text
from speu_cli.checkpoints.adapters import read_adapter
from speu_cli.checkpoints.heads import SEQUENCE, head_of
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import (
    BrokenConfigError,
    Checkpoint,
    cast,
    check_device,
    read_config,
)
from speu_cli.checkpoints.processors import load_processor

NOWHERE = "meta"
# Of a config, what grows with the width of the model; families have names of their own for the filters.
WIDTHS = (
    *("hidden_size", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "hidden_dim", "n_inner", "ffn_dim"),
    *("word_embed_proj_dim", "pooler_hidden_size"),
)
SMALL_VOCABULARY = 1024


def load_outline(folder: Path, *, device: str, dtype: torch.dtype) -> Checkpoint:
    """Read a checkpoint folder, all but its weights, which need not be there.

    Args:
        folder: A folder with ``config.json`` and tokenizer files.
        device: Where the model would be; refused if it is not here.
        dtype: Type that it would compute in.

    Returns:
        A checkpoint whose model has no content, and whose identity is nobody's.

    Raises:
        BrokenConfigError: No model has this configuration.
    """
    config = read_config(folder)
    check_device(device)
    try:
        model = build_model(config, device=NOWHERE, dtype=dtype)
    except Exception as error:  # many types, each meaning that the numbers do not fit each other
        raise BrokenConfigError(folder, error) from error
    nobody = ModelIdentity(type(model).__name__, *[hash_text("")] * 3)
    head, adapter = head_of(config) or SEQUENCE, read_adapter(folder)
    place = adapter.tokenizer if adapter else folder
    processor = load_processor(place, config, images=head.reads_images)
    return Checkpoint(folder, model, processor, dtype, nobody, adapter)


def build_model(config: PretrainedConfig, *, device: str, dtype: torch.dtype) -> PreTrainedModel:
    """Build a model of the class that checkpoints are loaded as.

    Args:
        config: Its configuration.
        device: Where to; on ``meta`` it has shapes, but no content.
        dtype: Type that it computes in.

    Returns:
        The model in eval mode, without gradients; elsewhere its weights are random, always the same.
    """
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        head = head_of(config) or SEQUENCE
        model: PreTrainedModel = head.auto_class.from_config(config, dtype=torch.float32)
    cast(model, dtype)
    model.eval().requires_grad_(False)
    return model


def reduce_config(config: PretrainedConfig, *, layers: int, narrowing: int = 1) -> PretrainedConfig:
    """A smaller model of the same family: fewer layers, a small vocabulary, narrower if that is asked for.

    Args:
        config: Of the model; stays as it is.
        layers: At most so many.
        narrowing: A part of the width, of the heads and of the filters: 2 is half of each.

    Returns:
        The configuration.
    """
    small = deepcopy(config)
    small.num_hidden_layers = min(layers, config.num_hidden_layers)
    if getattr(config, "vocab_size", None):
        small.vocab_size, small.pad_token_id = min(config.vocab_size, SMALL_VOCABULARY), 0
    for name in WIDTHS:
        width = getattr(small, name, None)
        if width:
            setattr(small, name, max(1, width // narrowing))
    return small
