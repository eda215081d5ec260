"""The answers to a question, as spans of its context."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answers:
    """Spans of a context; none where the context does not answer the question.

    Attributes:
        texts: The spans' texts.
        starts: The character of the context at which each begins, from 0.
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
