"""Questions with right answers in other words and wrong answers, as the TOFU benchmark has them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from speu_cli.data.cells import Cells
from speu_cli.data.columns import Columns, DataChoice, MissingColumnError, find_columns
from speu_cli.data.examples import SHOWN_IDS, Examples
from speu_cli.data.rows import examples_of
from speu_cli.data.sources.load import open_table
from speu_cli.data.table import Table
from speu_cli.errors import ArtifactError

PARAPHRASED, PERTURBED = "paraphrased_answer", "perturbed_answer"


@dataclass(frozen=True)
class PerturbedExamples:
    """Questions and what else could be answered.

    Attributes:
        examples: The questions with their answers.
        right: The right answer of each in other words, or the answer itself where no other was asked for.
        wrong: Wrong answers of each, at least one.
    """

    examples: Examples
    right: Sequence[str]
    wrong: Sequence[tuple[str, ...]]


def load_perturbed(
    source: str, choice: DataChoice, like: Columns, *, in_other_words: bool
) -> PerturbedExamples:
    """Read questions with perturbed answers.

    Args:
        source: As of ``load_examples``.
        choice: What the caller asked for.
        like: Columns of the training set: question and answer are read from them if both are there, else
            from columns of the usual names.
        in_other_words: Take ``paraphrased_answer`` for the right answer in other words, which then has to be
            there; else the answer itself.

    Returns:
        They, in the order of the rows.

    Raises:
        ArtifactError: An example lacks what is asked for.
        MissingColumnError: There are no answers.
    """
    table = open_table(source, choice)
    own = _columns_for(table, choice, like)
    wanted = [PERTURBED, *([PARAPHRASED] if in_other_words else [])]
    columns = find_columns(table.columns, own, source=table.source)
    if columns.label is None:
        raise MissingColumnError("label", "label", ["answer"], table.columns, table.source)
    roles = [name for name in (columns.id, columns.text, columns.text_pair, columns.label) if name]
    rows = list(table.rows([*roles, *(name for name in wanted if name in table.columns)]))
    examples = examples_of(replace(table, rows=lambda _: iter(rows)), own)
    cells = [Cells(table, number, row) for number, row in rows]
    for name in wanted:
        _refuse_lacking(examples, [one.row.get(name) for one in cells], name)
    right = [one.text(PARAPHRASED) for one in cells] if in_other_words else _labels(examples)
    return PerturbedExamples(examples, right, [one.texts(PERTURBED) for one in cells])


def _columns_for(table: Table, choice: DataChoice, like: Columns) -> DataChoice:
    known = like.text in table.columns and like.label in table.columns
    text, label = (like.text, like.label) if known else (None, None)
    return replace(choice, id_column=None, text_column=text, text_pair_column=None, label_column=label)


def _labels(examples: Examples) -> list[str]:
    return [str(example.label) for example in examples]


def _refuse_lacking(examples: Examples, cells: Sequence[object], name: str) -> None:
    lacking = [one for one, cell in zip(examples.ids, cells, strict=True) if cell is None or cell == []]
    if lacking:
        shown = ", ".join(map(repr, lacking[:SHOWN_IDS])) + (", …" if len(lacking) > SHOWN_IDS else "")
        raise ArtifactError(
            f"{examples.source}: {len(lacking)} of {len(examples)} examples have no {name}: {shown}",
            hint="each row needs perturbed_answer, a list of wrong answers, and those of the forget and the "
            "retain set paraphrased_answer, the right one in other words",
        )
