"""A data set of the ``datasets`` library as a table: what saved folders and the hub have in common."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from speu_cli.data.sources.foreign import told_in_one_line
from speu_cli.data.table import Row, Table

if TYPE_CHECKING:
    import datasets

BATCH_ROWS = 1000


def table_of(dataset: "datasets.Dataset", *, source: str, name: str, expected: str) -> Table:
    """Give the rows of a data set, only the columns that are needed.

    Args:
        dataset: One split.
        source: What messages call it.
        name: The same without folders.
        expected: What it should be, for a message.

    Returns:
        The table.
    """

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, Row]]:
        with told_in_one_line(source, expected):
            # A saved set may ask for tensors: its format goes.
            plain = _undecoded(dataset.with_format(None).select_columns(list(wanted)))
            number = 0
            for batch in plain.iter(BATCH_ROWS):
                for cells in zip(*(batch[column] for column in wanted), strict=True):
                    yield number, dict(zip(wanted, cells, strict=True))
                    number += 1

    return Table(source, name, list(dataset.column_names), unit="row", typed=True, rows=rows)


def _undecoded(dataset: "datasets.Dataset") -> "datasets.Dataset":
    """Images as the bytes of their files."""
    import datasets

    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset
