"""Lists of ids, and the forget and remaining sets that they make."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from speu_cli.data.examples import Examples
from speu_cli.errors import InputError

STDIN = "-"


def read_ids(source: str) -> list[str]:
    """Read a list of ids: one a line, or a JSON list of texts and whole numbers.

    Blank lines, and blanks around an id, are skipped.

    Args:
        source: The file; ``-`` for standard input.

    Returns:
        The ids, in order.

    Raises:
        InputError: The list cannot be read, is empty, or has an id twice.
    """
    name = "standard input" if source == STDIN else source
    try:
        content = _content(source).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}, line {line}: got bytes that are not UTF-8, expected ids") from error

    if content.lstrip().startswith("["):
        places, ids = "entries {} and {} (from 0)", _json_ids(content, name)
    else:
        places = "lines {} and {}"
        lines = enumerate(content.split("\n"), start=1)
        ids = {number: line.strip() for number, line in lines if line.strip()}
    if not ids:
        raise InputError(f"{name}: got no ids, expected at least one")
    first: dict[str, int] = {}
    for number, one in ids.items():
        if first.setdefault(one, number) != number:
            where = places.format(first[one], number)
            raise InputError(f"{name}: id {one!r} is there twice, in {where}, expected every id once")
    return list(first)


def forget_and_remaining(
    examples: Examples, forget_ids: Sequence[str], ids_source: str
) -> tuple[Examples, Examples]:
    """Split D into D_f and D_r.

    Both are in the order of D, so that one request gives the same sums however its ids are listed.

    Args:
        examples: D.
        forget_ids: The ids to forget.
        ids_source: What a message calls the list.

    Returns:
        D_f and D_r.

    Raises:
        InputError: There is nothing to forget, or nothing would remain.
    """
    name = "standard input" if ids_source == STDIN else ids_source
    forgotten = set(examples.positions(forget_ids, ids_source=name))
    if not forgotten:
        raise InputError(f"{name}: got no ids, expected at least one")
    if len(forgotten) == len(examples):
        raise InputError(
            f"{name}: got all {len(examples)} ids of {examples.source}, expected some examples to remain"
        )
    ids = examples.ids
    forget = examples.select([one for position, one in enumerate(ids) if position in forgotten])
    return forget, examples.without(forget_ids)


def _content(source: str) -> bytes:
    if source != STDIN:
        return Path(source).read_bytes()
    if sys.stdin is None:
        raise OSError("it is closed")
    return sys.stdin.buffer.read()


def _json_ids(content: str, name: str) -> dict[int, str]:
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: got bad JSON ({error}), expected a list of ids") from error
    for number, entry in enumerate(entries):
        whole = isinstance(entry, int) and not isinstance(entry, bool)
        if not whole and not (isinstance(entry, str) and entry.strip()):
            raise InputError(
                f"{name}, entry {number} (from 0): got {json.dumps(entry)[:40]}, "
                "expected a non-empty text or a whole number"
            )
    return {number: str(entry) for number, entry in enumerate(entries)}
