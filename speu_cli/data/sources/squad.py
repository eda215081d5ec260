"""The official files of SQuAD: articles of paragraphs of questions, in one JSON object."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from speu_cli.data.sources.json_lines import read_json_lines
from speu_cli.data.sources.text_lines import text_lines
from speu_cli.data.table import NO_ROWS, Row, Table, source_name
from speu_cli.errors import InputError

BEGINNING = re.compile(r'\s*\{\s*("version"\s*:\s*"[^"]*"\s*,\s*)?"data"\s*:\s*\[')
FIRST_LINES = 5
COLUMNS = ["id", "question", "context", "answers"]
WHAT = '{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}'


def read_json(source: str) -> Table:
    """Read an official SQuAD file, or else JSON lines."""
    beginning = "".join(islice(text_lines(source), FIRST_LINES))
    return _read_squad(source) if BEGINNING.match(beginning) else read_json_lines(source)


def _read_squad(source: str) -> Table:
    try:
        content = json.loads("".join(text_lines(source)))
        rows = list(_questions(content))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{source}: got no file of SQuAD ({error!r:.80}), expected {WHAT}") from error
    if not rows:
        raise InputError(f"{source}: {NO_ROWS}")
    return Table(
        source, source_name(source), COLUMNS, unit="row", typed=True, rows=lambda _: iter(enumerate(rows))
    )


def _questions(content: dict[str, Any]) -> Iterator[Row]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                # What is marked as impossible may still list plausible answers, under another name.
                answers = [] if question.get("is_impossible") else question["answers"]
                yield {
                    "id": question["id"],
                    "question": question["question"],
                    "context": paragraph["context"],
                    "answers": answers,
                }
