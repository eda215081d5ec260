"""What a task needs to know to encode examples for a model."""

import inspect
from dataclasses import dataclass

from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from speu_cli.checkpoints.processors import ImageProcessor, Processor
from speu_cli.data.examples import Examples
from speu_cli.errors import InputError

SHOWN_IDS = 5
DOC_STRIDE = 128
SHARE_OF_WINDOW = 4


@dataclass(frozen=True)
class Preparation:
    """How examples become inputs of a model.

    Attributes:
        processor: The model's tokenizer, or its image processor.
        config: The model's configuration.
        inputs: Names of the inputs that the model knows; it swallows others without a word.
        max_length: Longest input in tokens.
        doc_stride: Tokens that two windows of one context share.
        chat: Put prompts and answers together by the tokenizer's chat template, if it has one.
    """

    processor: Processor
    config: PretrainedConfig
    inputs: frozenset[str]
    max_length: int
    doc_stride: int
    chat: bool

    @classmethod
    def of(
        cls, processor: Processor, model: PreTrainedModel, max_length: int, doc_stride: int | None, chat: bool
    ) -> "Preparation":
        """For a model, whose ``forward`` says which inputs it takes."""
        names = frozenset(inspect.signature(model.forward).parameters)
        stride = default_stride(max_length) if doc_stride is None else doc_stride
        return cls(processor, model.config, names, max_length, stride, chat)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer.

        Returns:
            It.

        Raises:
            InputError: The model is for images.
        """
        if not isinstance(self.processor, PreTrainedTokenizerBase):
            raise InputError("the model reads images, expected one that reads texts")
        return self.processor

    @property
    def fast_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, if it tells at which characters its tokens are.

        Returns:
            It.

        Raises:
            InputError: It does not.
        """
        tokenizer = self.tokenizer
        if not tokenizer.is_fast:
            raise InputError(
                f"the tokenizer is a slow one, {type(tokenizer).__name__}, expected one that tells at which "
                "characters its tokens are",
                hint="save the fast one beside the model: tokenizer.json",
            )
        return tokenizer

    @property
    def image_processor(self) -> ImageProcessor:
        """The image processor.

        Returns:
            It.

        Raises:
            InputError: The model is for texts.
        """
        if isinstance(self.processor, PreTrainedTokenizerBase):
            raise InputError("the model reads texts, expected one that reads images")
        return self.processor

    def padding(self, names: frozenset[str] | set[str]) -> dict[str, int]:
        """What pads each of these inputs."""
        tokenizer = self.tokenizer
        values = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
        return {name: values.get(name, 0) for name in sorted(names)}


def default_stride(max_length: int) -> int:
    """Tokens that two windows share where nobody says: 128, of short windows a quarter."""
    return min(DOC_STRIDE, max_length // SHARE_OF_WINDOW)


def refuse(examples: Examples, odd: list[str], got: str, hint: str) -> None:
    """Refuse examples, told by their ids and how many they are.

    Args:
        examples: All.
        odd: Ids of those that are refused; may be none.
        got: What they have, and what was expected.
        hint: What to do.

    Raises:
        InputError: There are some.
    """
    if odd:
        shown = ", ".join(map(repr, odd[:SHOWN_IDS])) + (", …" if len(odd) > SHOWN_IDS else "")
        raise InputError(
            f"{examples.source}: {len(odd)} of {len(examples)} examples have {got}: {shown}", hint=hint
        )
