"""Texts and pairs of texts, each with one label, as token ids; and random ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speu_cli.data.examples import Examples
from speu_cli.errors import InputError
from speu_cli.tasks.encoded import Encoded, Row
from speu_cli.tasks.preparation import Preparation

ENCODE_CHUNK = 2048


def encode_texts(examples: Examples, labels: Tensor, how: Preparation) -> Encoded:
    """Tokenize texts; those that are too long are cut.

    Args:
        examples: They, in order; may be none.
        labels: As the loss takes them, ``[n]``.
        how: The tokenizer and its settings.

    Returns:
        The encoded examples.

    Raises:
        InputError: Only some examples have a text pair.
    """
    pairs = sum(example.text_pair is not None for example in examples)
    if pairs not in (0, len(examples)):
        raise InputError(f"{pairs} of {len(examples)} examples have a text pair, expected all or none")
    rows: list[Row] = []
    for start in range(0, len(examples), ENCODE_CHUNK):
        chunk = examples[start : start + ENCODE_CHUNK]
        encoding = how.tokenizer(
            [example.text for example in chunk],
            [str(example.text_pair) for example in chunk] if pairs else None,
            truncation=True,
            max_length=how.max_length,
        )
        names = how.inputs & encoding.keys()
        rows += [{name: encoding[name][i] for name in names} for i in range(len(chunk))]
    padding = how.padding(set(rows[0]) if rows else set())
    return Encoded(rows, labels, padding, examples.ids, torch.from_numpy(examples.row_hashes()))


def random_tokens(lengths: Sequence[int], vocabulary: int) -> Encoded:
    """Random tokens of these lengths, none of them padding, labels 0."""
    draw = torch.Generator().manual_seed(0)
    rows = [
        {
            "input_ids": torch.randint(1, vocabulary, (length,), generator=draw).tolist(),
            "attention_mask": [1] * length,
        }
        for length in lengths
    ]
    numbers = torch.arange(len(rows))
    return Encoded(
        rows,
        labels=torch.zeros(len(rows), dtype=torch.int64),
        padding={"input_ids": 0, "attention_mask": 0},
        ids=[str(number) for number in range(len(rows))],
        keys=numbers,
    )
