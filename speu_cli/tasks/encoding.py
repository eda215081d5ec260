"""Examples as token ids, and batches of them as tensors."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from speu_cli.data.batches import Batch, batches_by_length
from speu_cli.data.examples import Examples
from speu_cli.errors import InputError
from speu_cli.tasks.base import Task

ENCODE_CHUNK = 2048


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of a set of examples, in their order.

    Attributes:
        rows: What the tokenizer gave for each example, ``name -> token values``.
        labels: ``[n]``, as the task's loss takes them.
        padding: Value that pads each name.
        ids: Of the examples.
        keys: Hashes of the examples' rows, int64 ``[n]``.
    """

    rows: list[dict[str, list[int]]]
    labels: Tensor
    padding: dict[str, int]
    ids: list[str]
    keys: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each example."""
        return [len(row["input_ids"]) for row in self.rows]

    def select(self, indices: Sequence[int]) -> "Encoded":
        """The examples at these positions, in this order."""
        chosen = list(indices)
        return Encoded(
            [self.rows[i] for i in chosen],
            self.labels[chosen],
            self.padding,
            [self.ids[i] for i in chosen],
            self.keys[chosen],
        )

    def batches(self, max_tokens: int) -> list[Batch]:
        """Positions grouped by length, each group at most ``max_tokens`` when padded."""
        return batches_by_length(self.lengths, max_tokens=max_tokens)

    def collate(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Model inputs ``[batch, longest]``, padded on the right, and labels ``[batch]``."""
        rows = [self.rows[i] for i in indices]
        longest = max(len(row["input_ids"]) for row in rows)
        inputs = {
            name: torch.tensor([row[name] + [pad] * (longest - len(row[name])) for row in rows])
            for name, pad in self.padding.items()
        }
        return inputs, self.labels[list(indices)]


def encode(
    examples: Examples,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    model: PreTrainedModel,
    max_length: int,
) -> Encoded:
    """Tokenize examples and check their labels.

    Args:
        examples: They, in order; may be none.
        tokenizer: The model's tokenizer.
        task: Gives the labels.
        model: Its configuration says which labels there are, its ``forward`` which inputs it takes.
        max_length: Longest input in tokens; longer ones are cut.

    Returns:
        The encoded examples, in order.

    Raises:
        InputError: A label is outside the model's, or only some examples have a text pair.
    """
    labels = task.labels(examples, model.config)
    pairs = sum(example.text_pair is not None for example in examples)
    if pairs not in (0, len(examples)):
        raise InputError(f"{pairs} of {len(examples)} examples have a text pair, expected all or none")
    # Hugging Face models swallow inputs that they do not know, so only known ones are passed.
    names = inspect.signature(model.forward).parameters.keys()
    rows: list[dict[str, list[int]]] = []
    for start in range(0, len(examples), ENCODE_CHUNK):
        chunk = examples[start : start + ENCODE_CHUNK]
        encoding = tokenizer(
            [example.text for example in chunk],
            [str(example.text_pair) for example in chunk] if pairs else None,
            truncation=True,
            max_length=max_length,
        )
        rows += [{name: encoding[name][i] for name in names & encoding.keys()} for i in range(len(chunk))]
    keys = torch.from_numpy(examples.row_hashes())
    return Encoded(rows, labels, _padding(tokenizer, rows[0] if rows else {}), examples.ids, keys)


def _padding(tokenizer: PreTrainedTokenizerBase, row: dict[str, list[int]]) -> dict[str, int]:
    values = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    return {name: values.get(name, 0) for name in row}
