"""What a model should say in place of an answer that it is to forget (DPO)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.data.examples import Examples
from speu_cli.errors import InputError

DEFAULT = (
    "I don't know.",
    "I do not know the answer to that.",
    "I have no information about this.",
    "Sorry, I cannot say anything about that.",
    "That is something I know nothing about.",
    "I am afraid I cannot help with this question.",
    "I never learned about that.",
    "This is outside of what I know.",
    "I could not tell you.",
    "My knowledge does not cover that.",
    "I would only be guessing, so I will not answer.",
    "There is nothing that I can tell you about this.",
    "I am not familiar with that.",
    "No answer to this comes to my mind.",
    "I have not heard of this.",
    "Please ask someone else, for I do not know.",
)


@dataclass(frozen=True)
class OtherAnswers:
    """A list of answers, of which each example always gets the same one.

    Attributes:
        texts: At least one.
    """

    texts: Sequence[str] = DEFAULT

    @property
    def digest(self) -> str:
        """SHA-256 that names the list."""
        return hash_text(canonical_json(list(self.texts)))

    def given_to(self, examples: Examples) -> Examples:
        """The same examples with other answers, chosen by the hashes of the rows."""
        numbers = (int(row) % len(self.texts) for row in examples.row_hashes())
        rows = [replace(one, label=self.texts[i]) for one, i in zip(examples, numbers, strict=True)]
        return Examples(rows, source=examples.source, columns=examples.columns)


def read_answers(path: Path) -> OtherAnswers:
    """Read a list of answers, one a line; blank lines are skipped.

    Args:
        path: A UTF-8 text file.

    Returns:
        The list.

    Raises:
        InputError: It cannot be read, or has none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text, one answer a line: {error}") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise InputError(f"{path}: got no answers, expected at least one, one a line")
    return OtherAnswers(texts)
