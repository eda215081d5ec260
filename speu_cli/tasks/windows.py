"""Questions with their contexts as windows of tokens, and where in them the answers are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from speu_cli.data.answers import Answers
from speu_cli.data.examples import Example, Examples
from speu_cli.errors import InputError
from speu_cli.tasks.encoded import Encoded, Row
from speu_cli.tasks.preparation import Preparation, refuse

ENCODE_CHUNK = 256
ABSENT = -1  # of a window that an example does not have
NO_ANSWER = 0  # position of the first token, [CLS]: what points there says that the window has no answer
CONTEXT = 1  # the tokenizer's number of the second text
Span = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """What the scores need to know of one example.

    Attributes:
        context: The context.
        answers: Texts of the right answers; none where there is no answer.
        may_lack_answer: Whether its data set has questions without an answer.
        offsets: First and last character of each token of each window; None for what is not of the context.
    """

    context: str
    answers: tuple[str, ...]
    may_lack_answer: bool
    offsets: tuple[tuple[Span | None, ...], ...]


def encode_windows(examples: Examples, how: Preparation) -> Encoded:
    """Tokenize questions with their contexts, those that are too long as overlapping windows.

    Args:
        examples: They; may be none.
        how: The tokenizer and its settings.

    Returns:
        The encoded examples. Labels are start and end of the first answer, int64 ``[n, windows, 2]``: tokens
        of the window; 0 in a window that does not hold it whole; -1 past the example's last window.
    """
    require_answers(examples)
    _require_room(examples, how)
    rows: list[Row] = []
    windows: list[int] = []
    positions: list[list[Span]] = []
    questions: list[Question] = []
    for start in range(0, len(examples), ENCODE_CHUNK):
        chunk = examples[start : start + ENCODE_CHUNK]
        encoding = how.tokenizer(
            [_question(example) for example in chunk],
            [str(example.text_pair) for example in chunk],
            truncation="only_second",
            max_length=how.max_length,
            stride=how.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names = how.inputs & encoding.keys()
        owners = encoding["overflow_to_sample_mapping"]
        rows += [{name: encoding[name][i] for name in names} for i in range(len(owners))]
        of_examples: list[list[tuple[Span | None, ...]]] = [[] for _ in chunk]
        for window, owner in enumerate(owners):
            of_examples[owner].append(_offsets(encoding, window))
        for example, offsets in zip(chunk, of_examples, strict=True):
            answers = _answers(example)
            windows.append(len(offsets))
            positions.append([answer_position(of_window, answers) for of_window in offsets])
            questions.append(
                Question(str(example.text_pair), answers.texts, examples.some_unanswerable, tuple(offsets))
            )
    labels = torch.full((len(windows), max(windows, default=1), 2), ABSENT)
    for label, of_example in zip(labels, positions, strict=True):
        label[: len(of_example)] = torch.tensor(of_example)
    return Encoded(
        rows,
        labels,
        how.padding(set(rows[0]) if rows else set()),
        examples.ids,
        torch.from_numpy(examples.row_hashes()),
        windows,
        questions,
    )


def answer_position(offsets: Sequence[Span | None], answers: Answers) -> Span:
    """First and last token of the first answer.

    Args:
        offsets: Characters of the window's tokens, None for what is not of the context.
        answers: The answers.

    Returns:
        Positions in the window; :data:`NO_ANSWER` twice if the window does not hold the answer whole.
    """
    known = [(position, span) for position, span in enumerate(offsets) if span is not None]
    if not answers.texts or not known:
        return NO_ANSWER, NO_ANSWER
    first, last = answers.starts[0], answers.starts[0] + len(answers.texts[0])
    if known[0][1][0] > first or known[-1][1][1] < last:
        return NO_ANSWER, NO_ANSWER
    start = max(position for position, (begin, _) in known if begin <= first)
    end = min(position for position, (_, stop) in known if stop >= last)
    return start, max(start, end)


def require_answers(examples: Examples) -> None:
    """Refuse examples whose answers are not where they are said to be.

    Args:
        examples: The examples.
    """
    odd = [example.id for example in examples if not _stands_in_context(example)]
    refuse(
        examples,
        odd,
        "an answer that is not in the context at its answer_start, expected that text there",
        "count characters from 0, not bytes; leave these examples out, or correct them",
    )


def _stands_in_context(example: Example) -> bool:
    answers, context = _answers(example), str(example.text_pair)
    return all(
        context.startswith(text, start) for text, start in zip(answers.texts, answers.starts, strict=True)
    )


def _answers(example: Example) -> Answers:
    if not isinstance(example.label, Answers) or example.text_pair is None:
        raise InputError(
            f"example {example.id!r} is no question with a context and answers, expected one",
            hint="read the data with --task question-answering",
        )
    return example.label


def _question(example: Example) -> str:
    return example.text.lstrip()  # blanks in front can be all that a tokenizer would cut


def _require_room(examples: Examples, how: Preparation) -> None:
    """Refuse questions that leave a window no more context than two windows share: it would not get on."""
    tokenizer = how.fast_tokenizer
    room = how.max_length - tokenizer.num_special_tokens_to_add(pair=True) - how.doc_stride
    odd: list[str] = []
    for start in range(0, len(examples), ENCODE_CHUNK):
        chunk = examples[start : start + ENCODE_CHUNK]
        found = tokenizer([_question(example) for example in chunk], add_special_tokens=False)["input_ids"]
        odd += [example.id for example, tokens in zip(chunk, found, strict=True) if len(tokens) >= room]
    refuse(
        examples,
        odd,
        f"a question so long that a window of {how.max_length} tokens has no room for more than the "
        f"{how.doc_stride} tokens of the context that two windows share, expected room",
        "raise --max-length, lower --doc-stride, or leave these examples out",
    )


def _offsets(encoding: Any, window: int) -> tuple[Span | None, ...]:
    return tuple(
        (int(span[0]), int(span[1])) if number == CONTEXT else None
        for span, number in zip(
            encoding["offset_mapping"][window], encoding.sequence_ids(window), strict=True
        )
    )
