"""The published schema of what ``speu compare --json`` prints."""

import json
from importlib.resources import files
from typing import Any


def compare_schema() -> dict[str, Any]:
    """Read the JSON schema, which comes with the package."""
    text = files("speu_cli.evaluation.runs").joinpath("compare.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
