"""What the head of a model answers: told by the name of its class, which ``config.json`` holds."""

from dataclasses import dataclass
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)


@dataclass(frozen=True)
class HeadKind:
    """One kind of head.

    Attributes:
        name: In messages.
        endings: How the names of classes with it end.
        auto_class: What finds a model's class, and loads it.
        reads_images: It answers about images, not texts.
        reads_all: It reads every token, not one of them.
    """

    name: str
    endings: tuple[str, ...]
    auto_class: Any
    reads_images: bool = False
    reads_all: bool = False


SEQUENCE = HeadKind(
    "sequence classification or regression",
    ("ForSequenceClassification",),
    AutoModelForSequenceClassification,
)
ANSWERING = HeadKind(
    "extractive question answering", ("ForQuestionAnswering",), AutoModelForQuestionAnswering, reads_all=True
)
MODELLING = HeadKind(
    "causal language modelling", ("ForCausalLM", "LMHeadModel"), AutoModelForCausalLM, reads_all=True
)
IMAGES = HeadKind(
    "image classification", ("ForImageClassification",), AutoModelForImageClassification, reads_images=True
)
KINDS = (SEQUENCE, ANSWERING, MODELLING, IMAGES)


def head_of(config: PretrainedConfig) -> HeadKind | None:
    """The kind of head that a configuration names; None: it names none of these."""
    names = getattr(config, "architectures", None)
    if not isinstance(names, list):
        return None
    return next((kind for kind in KINDS for name in names if str(name).endswith(kind.endings)), None)
