"""What a language model learns of an example, beside its tokens."""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Learnt:
    """The text that is learnt of an example.

    Attributes:
        text: The answer, or a plain text as it stands in its row.
        asked: There is a prompt before it.
        ended: Its last labelled token is the tokenizer's end-of-text token.
        compressed: Bytes that zlib makes of the text in UTF-8.
    """

    text: str
    asked: bool
    ended: bool
    compressed: int

    @classmethod
    def of(cls, text: str, *, asked: bool, ended: bool) -> "Learnt":
        """Of a text, which is compressed once."""
        return cls(text, asked, ended, len(zlib.compress(text.encode())))
