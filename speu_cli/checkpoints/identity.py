"""Who a model is: hashes of its weights, configuration and tokenizer."""

import json
from dataclasses import asdict, dataclass

import torch
from transformers import BaseImageProcessor, PreTrainedModel, PreTrainedTokenizerBase

from speu_cli.artifacts.digest import canonical_json, hash_tensors, hash_text
from speu_cli.errors import ArtifactError
from speu_cli.wording import is_or_are

# Changes when a model is moved or saved again, without changing what it computes.
VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}


@dataclass(frozen=True)
class ModelIdentity:
    """SHA-256 of a model's parts; equal means: computes the same on the same text.

    Attributes:
        architecture: Class name of the model.
        weights: Over (name, type, shape, bytes) of all parameters in float32, in order of name.
        config: Over the configuration without fields that change on a move.
        tokenizer: Over the tokenizer's rules and vocabulary, or the image processor's settings.
    """

    architecture: str
    weights: str
    config: str
    tokenizer: str

    def require_same(self, recorded: "ModelIdentity", source: str) -> None:
        """Refuse what was made from another model.

        Args:
            recorded: The model that it was made from.
            source: What a message calls it.

        Raises:
            ArtifactError: It is another model.
        """
        for part, mine in asdict(self).items():
            theirs = getattr(recorded, part)
            if mine != theirs:
                raise ArtifactError(
                    f"{source} belongs to another model: its {part} {is_or_are(part)} {theirs[:24]}, "
                    f"this model's {mine[:24]}",
                    hint="name the model that it was computed from, or compute it again",
                )


def identify(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | BaseImageProcessor
) -> ModelIdentity:
    """Compute the identity of a loaded model."""
    fields = json.loads(model.config.to_json_string(use_diff=False))
    config = {key: value for key, value in fields.items() if key not in VOLATILE}
    return ModelIdentity(
        architecture=type(model).__name__,
        weights=hash_tensors(dict(model.named_parameters()), dtype=torch.float32),
        config=hash_text(canonical_json(config)),
        tokenizer=_hash_tokenizer(tokenizer),
    )


def _hash_tokenizer(tokenizer: PreTrainedTokenizerBase | BaseImageProcessor) -> str:
    if isinstance(tokenizer, BaseImageProcessor):
        settings = json.loads(tokenizer.to_json_string())
        return hash_text(
            canonical_json({key: value for key, value in settings.items() if key not in VOLATILE})
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hash_text(canonical_json([type(tokenizer).__name__, tokenizer.get_vocab()]))
    # Truncation and padding are set by every call, so they say nothing about the tokenizer.
    rules = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return hash_text(canonical_json(rules))
