"""Parquet, only the columns that are needed."""

from collections.abc import Iterator, Sequence

from speu_cli.data.sources.foreign import told_in_one_line
from speu_cli.data.table import Row, Table, source_name

WHAT = "a Parquet file"


def read_parquet(source: str) -> Table:
    """Read a Parquet file.

    Args:
        source: The file.

    Returns:
        The table.
    """
    import pyarrow.parquet

    with told_in_one_line(source, WHAT):
        columns = list(pyarrow.parquet.read_schema(source).names)

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, Row]]:
        with told_in_one_line(source, WHAT), pyarrow.parquet.ParquetFile(source) as file:
            number = 0
            for batch in file.iter_batches(columns=list(wanted)):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1

    return Table(source, source_name(source), columns, unit="row", typed=True, rows=rows)
