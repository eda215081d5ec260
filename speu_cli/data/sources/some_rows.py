"""A few rows of a large set, without making examples of the others."""

import re
from collections.abc import Callable

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.rows import examples_of
from speu_cli.data.sources.json_lines import read_json_lines
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError

JSON_LINES = (".jsonl", ".jsonl.gz")


def load_some(source: str, choice: DataChoice, wanted: Callable[[str], bool]) -> Examples:
    """Read at least the examples with wanted ids.

    Of JSON lines with an id column only these are read, in memory that does not grow with the file: others
    are looked at for their id alone, and are not checked. Of other sources all are read, and where no
    wanted one is found.

    Args:
        source: As of ``load_examples``.
        choice: Likewise.
        wanted: Tells whether an id is.

    Returns:
        The examples, in the order of the source.
    """
    if choice.id_column and source.lower().endswith(JSON_LINES):
        try:
            return examples_of(read_json_lines(source, _by_id(choice.id_column, wanted)), choice)
        except InputError:  # nothing was found, or a bad row: reading all tells what is wrong
            pass
    return load_examples(source, choice)


def _by_id(column: str, wanted: Callable[[str], bool]) -> Callable[[str], bool]:
    # A key or an id may be written with escapes, and quotes within a text always are: a line without a
    # backslash shows all of its keys and ids as they are.
    cell = re.compile(rf'"{re.escape(column)}"\s*:\s*(?:"([^"]*)"|(-?[0-9]+))')

    def may_be(line: str) -> bool:
        return "\\" in line or any(wanted(text or number) for text, number in cell.findall(line))

    return may_be
