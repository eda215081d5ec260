"""A data set on the hub: the only source that uses the network, and only when asked for by ``hub:``."""

import re
from pathlib import Path

from speu_cli.data.sources.arrow_dataset import table_of
from speu_cli.data.sources.foreign import told_in_one_line
from speu_cli.data.table import Table
from speu_cli.errors import InputError

HUB = "hub:"
SOURCE = re.compile(r"hub:(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[^:]+))?")
WHAT = "a data set on the hub"


def read_hub(source: str, split: str | None) -> Table:
    """Read one split of a data set on the hub; code of the data set is never run.

    Args:
        source: ``hub:NAME[:CONFIG]``.
        split: Which split to take.

    Returns:
        The table.

    Raises:
        InputError: The name is malformed or means a local folder, or no split was chosen.
    """
    parts = SOURCE.fullmatch(source)
    if parts is None:
        raise InputError(f"{source}: got a malformed name, expected hub:NAME or hub:NAME:CONFIG")
    if split is None:
        raise InputError(f"{source}: got no split, expected one", hint="choose one with --split")
    name, config = parts["name"], parts["config"]
    if Path(name).exists():  # datasets would read that instead
        raise InputError(
            f"{source}: got a name that is also a local file or folder, expected {WHAT}",
            hint="run from another folder",
        )
    import datasets

    with told_in_one_line(source, WHAT):
        dataset = datasets.load_dataset(name, config, split=split)
    return table_of(dataset, source=source, name=source, expected=WHAT)
