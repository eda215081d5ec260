"""A policy: requirements that a team keeps in a TOML file.

One table a requirement::

    [[require]]
    metric = "testing_accuracy"
    of = "low"  # a bound of the 95 % interval in place of the value
    at_least = "90 %"
    why = "what the service was promised to do"
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from speu_cli.errors import InputError
from speu_cli.evaluation.gates import Gate, parse
from speu_cli.evaluation.requirements.known import understood

TABLE = "require"
BOUNDS = {"at_least": ">=", "at_most": "<=", "above": ">", "below": "<"}
PARTS = {"value": "", "low": ".low", "high": ".high"}
KEYS = ("metric", "of", *BOUNDS, "why")


def read_policy(path: Path) -> list[Gate]:
    """Read a policy.

    Args:
        path: The file.

    Returns:
        Its gates in their order, one for each bound.

    Raises:
        InputError: It cannot be read, is not TOML, has a key that there is not, or an entry is no gate on a
            metric that there is; the file and the entry are named.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or nested beyond reason
        raise InputError(f"{path} is not TOML: {error}", hint=_HINT) from error
    _require_keys(content, (TABLE,), str(path))
    entries = content.get(TABLE)
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise InputError(f"{path}: expected at least one [[{TABLE}]]", hint=_HINT)
    return [
        gate
        for number, entry in enumerate(entries, start=1)
        for gate in _gates(entry, f"{path}, requirement {number}")
    ]


_HINT = f"""write [[{TABLE}]], below it metric = "testing_accuracy" and at_least = 0.84"""


def _gates(entry: Mapping[str, Any], origin: str) -> Iterator[Gate]:
    """Read an entry: a gate for each of its bounds."""
    _require_keys(entry, KEYS, origin)
    bounds = [key for key in BOUNDS if key in entry]
    if "metric" not in entry or not bounds:
        lacking = "no metric" if "metric" not in entry else f"no bound, one of {', '.join(BOUNDS)}"
        raise InputError(f"{origin}: {lacking}", hint=_HINT)
    metric, why = _text(entry, "metric", origin), _text(entry, "why", origin) if "why" in entry else None
    part = _text(entry, "of", origin) if "of" in entry else "value"
    if part not in PARTS:
        raise InputError(f"{origin}: of is {part!r}, expected one of {', '.join(PARTS)}")
    for key in bounds:
        expression = f"{metric}{PARTS[part]}{BOUNDS[key]}{_bound(entry, key, origin)}"
        yield understood(parse(expression, why=why, origin=origin))


def _require_keys(table: Mapping[str, Any], known: tuple[str, ...], origin: str) -> None:
    odd = next((key for key in table if key not in known), None)
    if odd is not None:
        near = get_close_matches(odd, known, 1)
        raise InputError(
            f"{origin}: no key {odd!r}, expected one of {', '.join(known)}",
            hint=f"did you mean {near[0]}?" if near else None,
        )


def _text(entry: Mapping[str, Any], key: str, origin: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{origin}: {key} is {value!r}, expected a text")
    return value.strip()


def _bound(entry: Mapping[str, Any], key: str, origin: str) -> str:
    value = entry[key]
    number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, bool) or not (number or isinstance(value, str)):
        raise InputError(
            f"{origin}: {key} is {value!r}, expected a finite number, or a text with its unit such as '84 %'"
        )
    return value.strip() if isinstance(value, str) else repr(value)
