"""A folder that ``datasets`` saved: one data set, or several splits."""

import json
from pathlib import Path

from speu_cli.data.columns import listed
from speu_cli.data.sources.arrow_dataset import table_of
from speu_cli.data.sources.foreign import told_in_one_line
from speu_cli.data.table import Table, source_name
from speu_cli.errors import InputError

WHAT = "a folder saved by datasets (save_to_disk)"
ONE, SEVERAL = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether ``datasets`` saved a folder."""
    return any((folder / name).is_file() for name in (ONE, SEVERAL))


def read_folder(source: str, split: str | None) -> Table:
    """Read a saved folder.

    Args:
        source: The folder.
        split: Which split to take, where there are several.

    Returns:
        The table.

    Raises:
        InputError: The folder is not a saved data set.
    """
    folder = Path(source)
    if (folder / SEVERAL).is_file():
        folder /= _split_of(source, split)
    if not (folder / ONE).is_file():
        raise InputError(
            f"{folder}: got a folder without {ONE}, expected {WHAT}",
            hint="name the file itself, if the folder holds files of examples; a folder of images is read "
            "with --task image-classification",
        )
    import datasets

    with told_in_one_line(str(folder), WHAT):
        dataset = datasets.load_from_disk(str(folder))
    return table_of(dataset, source=str(folder), name=source_name(source), expected=WHAT)


def _split_of(source: str, split: str | None) -> str:
    with told_in_one_line(source, WHAT):
        splits = list(json.loads((Path(source) / SEVERAL).read_text(encoding="utf-8"))["splits"])
    if split is None:
        raise InputError(
            f"{source}: got no split, expected one of {listed(splits)}", hint="choose one with --split"
        )
    if split not in splits:
        raise InputError(f"{source}: no split {split!r}, expected one of {listed(splits)}")
    return split
