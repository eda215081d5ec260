"""From a table's rows to examples, as their task has them."""

from collections.abc import Callable

from speu_cli.data.cells import Cells
from speu_cli.data.columns import (
    CAUSAL_LM,
    IMAGE_CLASSIFICATION,
    NONE,
    QUESTION_ANSWERING,
    Columns,
    DataChoice,
    find_columns,
)
from speu_cli.data.examples import Example, Examples, Label
from speu_cli.data.table import NO_ROWS, Table
from speu_cli.errors import InputError


def examples_of(table: Table, choice: DataChoice) -> Examples:
    """Make examples of the rows; one that lacks a text, a label or an id is refused.

    Args:
        table: What the reader gave.
        choice: What the caller asked for.

    Returns:
        The examples, in the order of the rows.

    Raises:
        InputError: There is no row.
    """
    columns = find_columns(table.columns, choice, source=table.source)
    roles = (columns.id, columns.text, columns.text_pair, columns.label)
    wanted = [name for name in roles if name is not None]
    examples = [
        _example(Cells(table, number, row), columns, choice.task, position)
        for position, (number, row) in enumerate(table.rows(wanted))
    ]
    if not examples:
        raise InputError(f"{table.source}: {NO_ROWS}")
    return Examples(examples, source=table.name, columns=columns)


def _example(cells: Cells, columns: Columns, task: str | None, position: int) -> Example:
    """Make one example, as the task has it."""
    row_id = str(position) if columns.id is None else cells.id(columns.id)
    if task == IMAGE_CLASSIFICATION:
        picture, label = cells.picture(columns.text), cells.label(columns.label or NONE)
        return Example(row_id, "", None, label, picture)
    readers: dict[str, Callable[[str], Label]] = {QUESTION_ANSWERING: cells.answers, CAUSAL_LM: cells.text}
    read_label = readers.get(task or NONE, cells.label)
    return Example(
        row_id,
        text=cells.text(columns.text),
        text_pair=None if columns.text_pair is None else cells.text(columns.text_pair),
        label=None if columns.label is None else read_label(columns.label),
    )
