"""Find the reader of a source and read it."""

from collections.abc import Callable
from pathlib import Path

from speu_cli.data.columns import IMAGE_CLASSIFICATION, DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.rows import examples_of
from speu_cli.data.sources.delimited import read_csv, read_tsv
from speu_cli.data.sources.folder import is_saved, read_folder
from speu_cli.data.sources.hub import HUB, read_hub
from speu_cli.data.sources.json_lines import read_json_lines
from speu_cli.data.sources.parquet import read_parquet
from speu_cli.data.sources.picture_folder import read_picture_folder
from speu_cli.data.sources.squad import read_json
from speu_cli.data.table import Table
from speu_cli.errors import InputError

READERS: dict[str, Callable[[str], Table]] = {
    ".jsonl": read_json_lines,
    ".jsonl.gz": read_json_lines,
    ".json": read_json,
    ".json.gz": read_json,
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_tsv,
    ".tsv.gz": read_tsv,
    ".parquet": read_parquet,
}


def load_examples(source: str, choice: DataChoice) -> Examples:
    """Read examples.

    The network is used for ``hub:`` alone. ``choice.split`` chooses among the splits of a hub data set or of
    a folder of several; a file or a folder of one has none to choose from, and ignores it.

    Args:
        source: A file of JSON lines (.jsonl, .json), CSV or TSV, each also as .gz; an official file of SQuAD
            (.json); a .parquet file; a folder that ``datasets`` saved; or ``hub:NAME[:CONFIG]``. For image
            classification a folder of images too.
        choice: Columns, split and task that the caller asked for.

    Returns:
        The examples, in the order of the rows.
    """
    return examples_of(open_table(source, choice), choice)


def open_table(source: str, choice: DataChoice) -> Table:
    """Find the reader of a source and have it open.

    Args:
        source: As of :func:`load_examples`.
        choice: Split and task that the caller asked for.

    Returns:
        The table, whose rows can be read once.

    Raises:
        InputError: There is no such file, or no reader of it.
    """
    if source.startswith(HUB):
        return read_hub(source, choice.split)
    path = Path(source)
    if path.is_dir():
        if choice.task == IMAGE_CLASSIFICATION and not is_saved(path):
            return read_picture_folder(source)
        return read_folder(source, choice.split)
    if not path.exists():
        raise InputError(
            f"{source}: no such file, expected a file or folder of examples",
            hint="a data set on the hub is written hub:NAME",
        )
    for ending, reader in READERS.items():
        if path.name.lower().endswith(ending):
            return reader(source)
    raise InputError(f"{source}: got an unknown kind of file, expected one of {', '.join(READERS)}")
