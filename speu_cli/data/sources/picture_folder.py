"""A folder of images: one folder a class, or files beside a list that says what each of them is."""

from dataclasses import replace
from pathlib import Path

from speu_cli.data.pictures import ENDINGS
from speu_cli.data.sources.delimited import read_csv
from speu_cli.data.sources.json_lines import read_json_lines
from speu_cli.data.table import Table, source_name
from speu_cli.errors import InputError

LISTS = {"metadata.jsonl": read_json_lines, "metadata.csv": read_csv}
COLUMNS = ["id", "image", "label"]


def read_picture_folder(source: str) -> Table:
    """Read a folder of images.

    Args:
        source: The folder. A list in it, metadata.jsonl or metadata.csv, has a row for each image; without
            one the class of an image is the name of the folder that it lies in, and its id is its path.

    Returns:
        The table.

    Raises:
        InputError: There is no image.
    """
    folder = Path(source)
    for name, reader in LISTS.items():
        if (folder / name).is_file():
            return replace(reader(str(folder / name)), name=source_name(source))
    paths = sorted(path for path in folder.glob("*/**/*") if path.suffix.lower() in ENDINGS)
    names = [path.relative_to(folder) for path in paths]
    if not names:
        raise InputError(
            f"{source}: got no images, expected a folder for each class, or a list {' or '.join(LISTS)}"
        )
    rows = [
        (number, {"id": name.as_posix(), "image": name.as_posix(), "label": name.parts[0]})
        for number, name in enumerate(names)
    ]
    return Table(source, source_name(source), COLUMNS, unit="row", typed=True, rows=lambda _: iter(rows))
