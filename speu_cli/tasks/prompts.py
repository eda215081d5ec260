"""Prompts with their answers, and plain texts, as tokens with the labels of a language model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError
from speu_cli.tasks.encoded import IGNORED, LABELS, Encoded, Row
from speu_cli.tasks.learnt import Learnt
from speu_cli.tasks.preparation import Preparation, refuse

ENCODE_CHUNK = 1024


@dataclass(frozen=True)
class Written:
    """An example as one text.

    Attributes:
        text: All of it.
        answer: The character at which what is learnt begins.
        finished: No end-of-text token is added.
        templated: A template wrote the tokens that stand around it, too.
    """

    text: str
    answer: int
    finished: bool
    templated: bool = False


def template_of(tokenizer: Any, *, chat: bool) -> str | None:
    """SHA-256 of the chat template that prompts are written with; None if they are written without one."""
    template = getattr(tokenizer, "chat_template", None)
    if not chat or not template:
        return None
    return hash_text(template if isinstance(template, str) else canonical_json(template))


def encode_prompts(examples: Examples, how: Preparation) -> Encoded:
    """Tokenize prompts with their answers, of which only the answers' tokens are labelled.

    Args:
        examples: They; may be none.
        how: The tokenizer and its settings.

    Returns:
        The encoded examples, each token's label in the row: itself, or -100 in the prompt; references say
        what text that is.
    """
    rows: list[Row] = []
    cut: list[str] = []
    for start in range(0, len(examples), ENCODE_CHUNK):
        chunk = examples[start : start + ENCODE_CHUNK]
        for example, row in zip(chunk, _tokenized(chunk, how), strict=True):
            if len(row["input_ids"]) > how.max_length and example.label is not None:
                cut.append(example.id)
            rows.append({name: values[: how.max_length] for name, values in row.items()})
    refuse(
        examples,
        cut,
        f"a prompt and an answer of more than {how.max_length} tokens together, expected them whole: an "
        "answer that is cut would be learnt without its end",
        "raise --max-length, or leave these examples out",
    )
    sizes = [sum(label != IGNORED for label in row[LABELS][1:]) for row in rows]
    refuse(
        examples,
        [one for one, size in zip(examples.ids, sizes, strict=True) if not size],
        "no token to learn, expected at least one after the first",
        "leave these examples out",
    )
    padding = how.padding(set(rows[0]) if rows else set())
    return Encoded(
        rows,
        torch.tensor(sizes, dtype=torch.int64),
        padding | ({LABELS: IGNORED} if rows else {}),
        examples.ids,
        torch.from_numpy(examples.row_hashes()),
        references=[
            _learnt(example, row, how.tokenizer.eos_token_id)
            for example, row in zip(examples, rows, strict=True)
        ],
    )


def _learnt(example: Example, row: Row, end: int | None) -> Learnt:
    text = example.text if example.label is None else str(example.label)
    return Learnt.of(text, asked=example.label is not None, ended=row[LABELS][-1] == end)


def _tokenized(chunk: Examples, how: Preparation) -> Iterator[Row]:
    """Rows of a few examples, of any length."""
    tokenizer, chat = how.fast_tokenizer, template_of(how.tokenizer, chat=how.chat) is not None
    written = [_write(example, tokenizer, chat=chat) for example in chunk]
    encoding = tokenizer(
        [one.text for one in written],
        add_special_tokens=not all(one.templated for one in written),
        return_offsets_mapping=True,
        verbose=False,  # what is too long is looked at later
    )
    names = how.inputs & encoding.keys()
    for number, one in enumerate(written):
        row = {name: list(encoding[name][number]) for name in names}
        tokens, end = row["input_ids"], tokenizer.eos_token_id
        answer = _first_token(encoding["offset_mapping"][number], one.answer)
        if not one.finished and end is not None and tokens[-1:] != [end]:
            for name, values in row.items():
                values.append(end if name == "input_ids" else values[-1] if values else 1)
        yield row | {LABELS: [IGNORED] * answer + tokens[answer:]}


def _first_token(offsets: list[tuple[int, int]], character: int) -> int:
    """The first token that reaches past a character; those of the tokenizer's own have no characters."""
    return next((number for number, (_, end) in enumerate(offsets) if end > character), len(offsets))


def _write(example: Example, tokenizer: Any, *, chat: bool) -> Written:
    """One text of a prompt and its answer."""
    prompt, answer = example.text, example.label
    if answer is None:
        return Written(prompt, 0, finished=True)
    if not isinstance(answer, str):
        raise InputError(
            f"example {example.id!r} has {answer!r} for an answer, expected a text",
            hint="read the data with --task causal-lm",
        )
    if chat:
        return _as_chat(example.id, prompt, answer, tokenizer)
    between = "" if prompt[-1:].isspace() or answer[:1].isspace() else " "
    return Written(prompt + between + answer, len(prompt + between), finished=False)


def _as_chat(example: str, prompt: str, answer: str, tokenizer: Any) -> Written:
    asked = [{"role": "user", "content": prompt}]
    both = [*asked, {"role": "assistant", "content": answer}]
    try:
        before: str = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        text: str = tokenizer.apply_chat_template(both, tokenize=False)
    except Exception as error:  # a template can raise whatever it calls
        raise InputError(
            f"example {example!r} cannot be written with the tokenizer's chat template: {error}",
            hint="leave the template out with --no-chat-template",
        ) from error
    if not text.startswith(before):
        raise InputError(
            f"the tokenizer's chat template writes the prompt of example {example!r} otherwise once an "
            "answer follows, expected the same text before it",
            hint="leave the template out with --no-chat-template",
        )
    return Written(text, len(before), finished=True, templated=True)
