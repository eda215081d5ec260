"""How examples become model inputs: the settings that every stage must share."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from speu_cli.data.columns import CAUSAL_LM, NONE, Columns, DataChoice
from speu_cli.data.examples import Examples
from speu_cli.errors import ArtifactError, InputError

Record = dict[str, Any]


@dataclass(frozen=True)
class EncodingSettings:
    """Recorded with the statistics and with each model that speu writes.

    Attributes:
        task: Name of the task.
        max_length: Longest input in tokens.
        columns: The columns that the training examples were read from.
        doc_stride: Tokens that two windows of a context share; None where there are no windows.
        template: SHA-256 of the chat template that prompts are written with; None if without one.
    """

    task: str
    max_length: int
    columns: Columns
    doc_stride: int | None = None
    template: str | None = None

    def to_record(self) -> Record:
        """As JSON values; what a task does not have is left out."""
        record = asdict(self)
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_record(cls, record: Record) -> "EncodingSettings":
        """Read back what :meth:`to_record` gave.

        Returns:
            The settings.

        Raises:
            ArtifactError: They are not those of encoding settings.
        """
        try:
            stride, template = record.get("doc_stride"), record.get("template")
            return cls(
                str(record["task"]),
                int(record["max_length"]),
                Columns(**record["columns"]),
                None if stride is None else int(stride),
                None if template is None else str(template),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"recorded encoding settings are not readable: {error}") from error

    def data_choice(self, split: str | None = None) -> DataChoice:
        """What to ask of a data source so that it is read in the same way."""
        return DataChoice(
            id_column=self.columns.id or NONE,
            text_column=self.columns.text,
            text_pair_column=self.columns.text_pair or NONE,
            label_column=self.columns.label or NONE,
            split=split,
            task=self.task,
            max_length=self.max_length,
            doc_stride=self.doc_stride,
            chat_template=(self.template is not None) if self.task == CAUSAL_LM else None,
        )

    def require_template(self, template: str | None, source: str) -> None:
        """Refuse a tokenizer with another chat template than was recorded.

        Args:
            template: SHA-256 of the tokenizer's, None if it has none.
            source: What a message calls the record.

        Raises:
            ArtifactError: It is another one.
        """
        if self.template != template:
            theirs, mine = ((one or "none")[:24] for one in (self.template, template))
            raise ArtifactError(
                f"{source} was made with another chat template: sha256 {theirs}, this tokenizer's {mine}",
                hint="put back the tokenizer's files, or compute the statistics again",
            )


def merge_choice(choice: DataChoice, recorded: EncodingSettings | None, source: str) -> DataChoice:
    """Complete what the caller asked for by what is recorded.

    Args:
        choice: From the caller.
        recorded: From a statistics file or a model's record, if there is one.
        source: What a message calls the record.

    Returns:
        The completed choice.

    Raises:
        ArtifactError: Something asked for is not what was recorded.
    """
    if recorded is None:
        return choice
    known = recorded.data_choice(split=choice.split)
    for name, asked in asdict(choice).items():
        if asked is not None and asked != getattr(known, name):
            kept = getattr(known, name) or "none"
            raise ArtifactError(
                f"--{name.replace('_', '-')} is {asked!r}, but {source} was made with {kept!r}",
                hint="leave the option out, or compute the statistics again",
            )
    return known


def without_ids(choice: DataChoice, columns: Columns) -> DataChoice:
    """For a set whose ids do not matter, read like the training set: its own id column, or row numbers."""
    return replace(
        choice,
        id_column=None,
        text_column=columns.text,
        text_pair_column=columns.text_pair or NONE,
        label_column=columns.label or NONE,
    )


def settings_of(
    examples: Examples,
    task: str,
    max_length: int,
    doc_stride: int | None = None,
    template: str | None = None,
) -> EncodingSettings:
    """Settle what examples are used with.

    Returns:
        The settings to record.

    Raises:
        InputError: No token fits.
    """
    if max_length < 1:
        raise InputError(f"--max-length is {max_length}, expected at least 1")
    return EncodingSettings(task, max_length, examples.columns, doc_stride, template)
