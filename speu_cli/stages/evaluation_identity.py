"""What an evaluation measured: which rows, read how, and which models; so that two can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.data.examples import Examples
from speu_cli.stages.session import Session


@dataclass(frozen=True)
class Encoding:
    """How rows became inputs.

    Attributes:
        max_length: Longest input in tokens.
        doc_stride: Tokens that two windows of a context share; None where there are no windows.
        template: SHA-256 of the chat template that prompts are written with; None if without one.
    """

    max_length: int
    doc_stride: int | None
    template: str | None


@dataclass(frozen=True)
class Identity:
    """What was measured on what.

    Attributes:
        task: Name of the task.
        score: Name of its score.
        seed: Of the random choices.
        encoding: How rows became inputs.
        sets: SHA-256 of the rows of each set, whatever their order: ``forget``, ``remaining``, ``test``.
        answer_tokens: Most tokens of what a language model answered itself; None if it was not asked to.
        weights: SHA-256 of the weights of each model: ``model``, ``original``, ``reference`` …
    """

    task: str
    score: str
    seed: int
    encoding: Encoding
    sets: Mapping[str, str]
    answer_tokens: int | None = None
    weights: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, session: Session) -> None:
        """Note whose weights were measured under a name."""
        self.weights[name] = session.checkpoint.identity.weights


def identity(
    session: Session, sets: Mapping[str, Examples], seed: int, answer_tokens: int | None = None
) -> Identity:
    """Identify what is measured, before any model is.

    Args:
        session: The first model: says how rows are read.
        sets: Rows by name.
        seed: Of the random choices.
        answer_tokens: Most tokens of an answer; None: none is generated.

    Returns:
        It, without a model so far.
    """
    return Identity(
        task=session.task.name,
        score=session.task.score_name,
        seed=seed,
        encoding=Encoding(session.max_length, session.doc_stride, session.template),
        sets={name: hash_rows(examples) for name, examples in sets.items()},
        answer_tokens=answer_tokens,
    )


def hash_rows(examples: Examples) -> str:
    """SHA-256 of a set of rows: their ids, texts and labels, whatever their order."""
    return hash_text(canonical_json(sorted(examples.row_hashes().tolist())))
