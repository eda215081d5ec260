"""The best answer over all windows of a question."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speu_cli.tasks.windows import NO_ANSWER, Question, Span

LONGEST_ANSWER = 30  # tokens, as of the scripts for SQuAD


@dataclass(frozen=True)
class Best:
    """What a model answers.

    Attributes:
        text: The best span's text; empty where no window has any of the context.
        margin: How far the score of having no answer, the lowest of all windows, is above the span's: the
            model says that there is no answer where it is above a threshold.
    """

    text: str
    margin: float


def best_span(logits: Tensor, question: Question) -> Best:
    """Find the span with the highest sum of its start's and its end's logit.

    Of all spans of at most :data:`LONGEST_ANSWER` tokens of the context: no list of the n best is cut.

    Args:
        logits: Of start and end, ``[windows, tokens, 2]``.
        question: Where the context's tokens are.

    Returns:
        The span.
    """
    null = min(float(window[NO_ANSWER].sum()) for window in logits[: len(question.offsets)])
    found = [
        _best_of_window(window, offsets)
        for window, offsets in zip(logits, question.offsets, strict=False)  # further windows are copies
    ]
    score, span = max(found, key=lambda one: one[0])
    text = "" if span is None else question.context[span[0] : span[1]]
    return Best(text, null - score)


def _best_of_window(logits: Tensor, offsets: Sequence[Span | None]) -> tuple[float, Span | None]:
    inside = [position for position, span in enumerate(offsets) if span is not None]
    if not inside:
        return -torch.inf, None
    first, last = inside[0], inside[-1] + 1
    start, end = logits[first:last].unbind(-1)
    allowed = torch.ones(len(start), len(end), dtype=torch.bool, device=start.device)
    allowed = allowed.triu().tril(LONGEST_ANSWER - 1)
    scores = (start[:, None] + end).masked_fill(~allowed, -torch.inf)
    best = int(scores.argmax())
    begin, stop = offsets[first + best // len(end)], offsets[first + best % len(end)]
    if begin is None or stop is None:
        return -torch.inf, None
    return float(scores.flatten()[best]), (begin[0], stop[1])
