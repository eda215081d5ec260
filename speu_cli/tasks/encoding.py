"""Examples as the inputs of a model."""

from transformers import PreTrainedModel

from speu_cli.checkpoints.processors import Processor
from speu_cli.data.examples import Examples
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.preparation import Preparation

__all__ = ["Encoded", "encode"]


def encode(
    examples: Examples,
    tokenizer: Processor,
    task: Task,
    model: PreTrainedModel,
    max_length: int,
    doc_stride: int | None = None,
    chat: bool = True,
) -> Encoded:
    """Encode examples and check their labels.

    Args:
        examples: They, in order; may be none.
        tokenizer: The model's tokenizer, or its image processor.
        task: Says how.
        model: Its configuration says which labels there are, its ``forward`` which inputs it takes.
        max_length: Longest input in tokens.
        doc_stride: Tokens that two windows of one context share. Default: 128, or a quarter of a window.
        chat: Use the tokenizer's chat template, if it has one.

    Returns:
        The encoded examples, in order.
    """
    return task.encode(examples, Preparation.of(tokenizer, model, max_length, doc_stride, chat))
