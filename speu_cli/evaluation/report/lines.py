"""How the line of each model is drawn."""

from collections.abc import Sequence
from typing import Any

from speu_cli.evaluation.report.contents import MODEL, ORIGINAL
from speu_cli.evaluation.report.palette import AFTER, BEFORE, RETRAINED

_DASHES = ("--", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))


def lines(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give each model a colour and dashes: they differ without colour as well."""
    known: dict[str, dict[str, Any]] = {
        ORIGINAL: {"color": BEFORE, "linestyle": ":", "linewidth": 1.6},
        MODEL: {"color": AFTER, "linestyle": "-", "linewidth": 1.8},
    }
    others = [name for name in names if name not in known]
    retrained = {
        name: {"color": RETRAINED, "linestyle": _DASHES[number % len(_DASHES)], "linewidth": 1.4}
        for number, name in enumerate(others)
    }
    return {name: (known | retrained)[name] for name in names}
