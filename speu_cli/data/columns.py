"""Which column holds what: as the caller said, else by the usual names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from speu_cli.errors import InputError

ID_NAMES = ("id", "idx", "guid", "uid", "uuid", "example_id", "index")
LABEL_NAMES = ("label", "labels", "score", "target", "gold_label", "is_duplicate")
# First text to second text, in order of preference; a first text may stand alone.
TEXT_NAMES = {
    "text": "text_pair",
    "sentence1": "sentence2",
    "question1": "question2",
    "premise": "hypothesis",
    "question": "sentence",
    "sentence": None,
}
NONE = ""  # "take no such column", where a column may be absent
# Tasks whose rows are not texts with a label.
QUESTION_ANSWERING, CAUSAL_LM, IMAGE_CLASSIFICATION = (
    "question-answering",
    "causal-lm",
    "image-classification",
)


@dataclass(frozen=True)
class Roles:
    """What the rows of a task are made of, and what their columns are usually called.

    Attributes:
        texts: Names of the text, in order of preference, with the usual name of the second text.
        labels: Names of the label, in order of preference.
        labels_of: Those that go with some texts.
        second: Usual name of the second text, which has to be there; None: it may be absent.
        may_lack_label: Rows without one are texts alone.
    """

    texts: Mapping[str, str | None]
    labels: tuple[str, ...]
    labels_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    second: str | None = None
    may_lack_label: bool = False


TEXTS = Roles(TEXT_NAMES, LABEL_NAMES)
ROLES = {
    QUESTION_ANSWERING: Roles({"question": "context"}, ("answers",), second="context"),
    CAUSAL_LM: Roles(
        {"prompt": None, "question": None, "instruction": None, "text": None},
        labels=(),
        labels_of={
            "prompt": ("completion", "response", "answer"),
            "question": ("answer", "response"),
            "instruction": ("output", "response"),
        },
        may_lack_label=True,
    ),
    IMAGE_CLASSIFICATION: Roles(dict.fromkeys(("image", "file_name", "path", "file")), LABEL_NAMES),
}


@dataclass(frozen=True)
class Columns:
    """The columns that examples are read from.

    Attributes:
        id: Column of the ids; None: the id is the row number, from 0, as text.
        text: Column of the text, or of the first of a pair; of the question, the prompt, the image.
        text_pair: Column of the second text or the context; None: no pairs.
        label: Column of the labels, the answers, the completions; None: the texts are learnt as they are.
    """

    id: str | None
    text: str
    text_pair: str | None
    label: str | None


@dataclass(frozen=True)
class DataChoice:
    """What the caller asked for about the data; None leaves it to be found, taken from a record, or default.

    Attributes:
        id_column: Column of the ids; the empty text asks for row numbers.
        text_column: Column of the text, or of the first of a pair.
        text_pair_column: Column of the second text; the empty text asks for none.
        label_column: Column of the labels.
        split: Which split, of a source that has several; other sources ignore it.
        task: Name of the task.
        max_length: Longest input, in tokens.
        doc_stride: Tokens of the context that two windows of a question share.
        chat_template: False: prompts and answers are put together without the tokenizer's chat template.
    """

    id_column: str | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    label_column: str | None = None
    split: str | None = None
    task: str | None = None
    max_length: int | None = None
    doc_stride: int | None = None
    chat_template: bool | None = None


class MissingColumnError(InputError):
    """No column has any of the usual names, and none was chosen."""

    def __init__(self, what: str, option: str, usual: Iterable[str], names: Sequence[str], source: str):
        super().__init__(
            f"{source}: no {what} column: got {listed(names)}, expected one of {', '.join(usual)}",
            hint=f"name it with --{option}-column",
        )


def find_columns(names: Sequence[str], choice: DataChoice, *, source: str = "data") -> Columns:
    """Find the columns: those chosen, the others by their usual names (in any letter case).

    Args:
        names: The columns that the source has.
        choice: What the caller asked for.
        source: What a message calls the data.

    Returns:
        The columns to read.

    Raises:
        InputError: A column is there twice, or was chosen for two uses, or one that was chosen is missing.
        MissingColumnError: One that was not chosen is missing.
    """
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise InputError(f"{source}: column {twice!r} is there twice, expected different names")
    chosen = [choice.id_column, choice.text_column, choice.text_pair_column, choice.label_column]
    chosen = [name for name in chosen if name not in {None, NONE}]
    for name in chosen:
        if name not in names:
            raise InputError(f"{source}: no column {name!r}, expected one of {listed(names)}")
        if chosen.count(name) > 1:
            raise InputError(f"{source}: column {name!r} was chosen for two uses, expected a column for each")

    roles = ROLES.get(choice.task or NONE, TEXTS)
    usual = _by_usual_name([name for name in names if name not in chosen])
    text = choice.text_column or _first(roles.texts, usual)
    if text is None:
        raise MissingColumnError("text", "text", roles.texts, names, source)
    labels = roles.labels_of.get(text.lower(), roles.labels)
    unlabelled = roles.may_lack_label and (choice.label_column == NONE or not labels)
    label = choice.label_column or (None if unlabelled else _first(labels, usual))
    if label is None and not unlabelled:
        raise MissingColumnError("label", "label", labels, names, source)
    row_id = _first(ID_NAMES, usual) if choice.id_column is None else choice.id_column
    partner = roles.texts.get(text.lower(), roles.second)
    text_pair = usual.get(partner or NONE) if choice.text_pair_column is None else choice.text_pair_column
    if roles.second and not text_pair:
        raise MissingColumnError(roles.second, "text-pair", [roles.second], names, source)
    return Columns(id=row_id or None, text=text, text_pair=text_pair or None, label=label)


def listed(names: Sequence[str]) -> str:
    """Name columns in a message."""
    return ", ".join(map(repr, names)) or "none"


def _by_usual_name(names: Sequence[str]) -> dict[str, str]:
    """Map lower-case names to columns; a column that is spelt in lower case goes before others."""
    return {name.lower(): name for name in sorted(names, key=str.islower)}


def _first(candidates: Iterable[str], usual: Mapping[str, str]) -> str | None:
    return next((usual[name] for name in candidates if name in usual), None)
