"""Which models can be measured beside each other: of one architecture, with the same labels."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PretrainedConfig

from speu_cli.checkpoints.load import read_config
from speu_cli.errors import ArtifactError
from speu_cli.stages.session import recorded_settings
from speu_cli.tasks.settings import EncodingSettings
from speu_cli.wording import is_or_are

SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")


def common_settings(folders: Sequence[Path]) -> EncodingSettings | None:
    """Find the encoding settings that the models record; models without a record go along.

    Returns:
        The settings; None if no model records any.

    Raises:
        ArtifactError: Two models record different ones.
    """
    known = {folder: settings for folder in folders if (settings := recorded_settings(folder)) is not None}
    first = next(iter(known), None)
    for folder, settings in known.items():
        if first is not None and settings != known[first]:
            raise ArtifactError(
                f"{first} and {folder} record different encoding settings: {known[first]} and {settings}",
                hint="compare models that were made from the same data with the same settings",
            )
    return known[first] if first is not None else None


def require_comparable(folders: Sequence[Path]) -> None:
    """Refuse models that differ in more than their weights, before any weights are read.

    Args:
        folders: Of the models, at least one; the others are compared with the first.

    Raises:
        ArtifactError: One has another architecture, other sizes or other labels.
    """
    described = [(folder, _description(read_config(folder))) for folder in folders]
    first, mine = described[0]
    for folder, theirs in described[1:]:
        for part, value in mine.items():
            if theirs[part] != value:
                raise ArtifactError(
                    f"{folder} cannot be compared with {first}: its {part} {is_or_are(part)} {theirs[part]}, "
                    f"expected {value}",
                    hint="compare models of one architecture that were fine-tuned for the same labels",
                )


def _description(config: PretrainedConfig) -> dict[str, str]:
    labels = sorted(
        (int(index), str(name)) for index, name in (getattr(config, "id2label", None) or {}).items()
    )
    return {
        "architecture": ", ".join(config.architectures or [config.model_type]),
        **{size.replace("_", " "): str(getattr(config, size, None)) for size in SIZES},
        "labels": ", ".join(name for _, name in labels),
    }
