"""Cut a data set into training, held-out and test rows, and into disjoint draws of rows to forget."""

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from settings import DataSet, Hub, Setting, Size

Row = dict[str, Any]

DRAWS = "abc"
DONE = "cut.json"


class NoDataError(Exception):
    """A data set is not where it was looked for; the message says where, and what to do."""


def prepare(data: Path | None, one: DataSet, setting: Setting, target: Path) -> None:
    """Write ``train``, ``heldout`` and ``test`` as JSON lines, ``forget-a.txt`` … and ``request-a-1.txt`` ….

    Rows are shuffled with seed 0. What is there already is kept.

    Args:
        data: Folder with a folder a set; None: the hub.
        one: The set.
        setting: How large.
        target: Folder to make.

    Raises:
        NoDataError: The set is not there, or the folder was made with another setting.
    """
    size = setting.sizes[one.name]
    described = {**asdict(size), "heldout": setting.heldout, "forget": setting.forget}
    described |= {"requests": setting.requests, "request_size": setting.request_size}
    if is_made(target / DONE, described):
        return
    training, test = _from_hub(one.hub) if data is None else _from_folder(data / one.name)
    training, test = (shuffled(rows, size) for rows in (training, test))
    target.mkdir(parents=True, exist_ok=True)
    count = len(training) - setting.heldout if size.training is None else size.training
    _write(target / "train.jsonl", training[:count])
    _write(target / "heldout.jsonl", training[count : count + setting.heldout])
    _write(target / "test.jsonl", test[: size.test])
    ids = [str(row["id"]) for row in training[:count]]
    for name, draw in zip(DRAWS, disjoint(ids, setting.draws, setting.forget), strict=False):
        _list(target / f"forget-{name}.txt", draw)
    of_requests = disjoint(ids, setting.draws, setting.requests * setting.request_size)
    for name, draw in zip(DRAWS, of_requests, strict=False):
        for number in range(1, setting.requests + 1):
            end = number * setting.request_size
            _list(target / f"request-{name}-{number}.txt", draw[end - setting.request_size : end])
            _list(target / f"so-far-{name}-{number}.txt", draw[:end])
    (target / DONE).write_text(json.dumps(described))


def is_made(note: Path, described: Row) -> bool:
    """Tell whether something was made as it is described now.

    Args:
        note: File that holds how it was made, if it was.
        described: JSON values.

    Returns:
        False if it was not made yet.

    Raises:
        NoDataError: It was made in another way.
    """
    if not note.exists():
        return False
    if json.loads(note.read_text()) != described:
        raise NoDataError(f"{note.parent} was made with other settings: choose another WORK, or remove it")
    return True


def disjoint(ids: Sequence[str], draws: int, size: int) -> list[Sequence[str]]:
    """Take draws that share no row.

    Args:
        ids: Of shuffled rows.
        draws: How many.
        size: Ids of each.

    Returns:
        The draws.

    Raises:
        ValueError: There are not enough ids.
    """
    if draws * size > len(ids):
        raise ValueError(f"{draws} draws of {size} rows need {draws * size}, got {len(ids)}")
    return [ids[number * size : (number + 1) * size] for number in range(draws)]


def shuffled(rows: Iterable[Row], size: Size) -> list[Row]:
    """Leave out what the size leaves out, and shuffle the others with seed 0."""
    kept = [
        row
        for row in rows
        if (size.longest is None or len(row["context"]) <= size.longest)
        and (not size.fewest_words or len(row["text"].split()) >= size.fewest_words)
    ]
    random.Random(0).shuffle(kept)
    return kept


def _from_folder(folder: Path) -> tuple[list[Row], list[Row]]:
    found = []
    for name in ("train", "dev"):
        path = folder / f"{name}.jsonl.gz"
        if not path.exists():
            raise NoDataError(f"{path} is not there: a folder of DATA holds train.jsonl.gz and dev.jsonl.gz")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found.append([json.loads(line) for line in file])
    training, test = found
    return training, test


def _from_hub(hub: Hub) -> tuple[list[Row], list[Row]]:
    """Read training and test split under our column names; the ids are the row numbers."""
    import datasets

    training, test = (
        [
            {"id": f"{split}-{number}", **{ours: row[theirs] for ours, theirs in hub.columns.items()}}
            for number, row in enumerate(datasets.load_dataset(hub.name, hub.config, split=split))
        ]
        for split in ("train", hub.test)
    )
    return training, test


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _list(path: Path, ids: Sequence[str]) -> None:
    path.write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
