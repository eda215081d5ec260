"""Write docs/metric-table.md from the definitions of the metrics; ``--check`` only compares."""

import sys
from pathlib import Path

from generated import write_or_check

from speu_cli.evaluation.definitions.definition import Definition
from speu_cli.evaluation.definitions.families import FAMILIES
from speu_cli.evaluation.definitions.needs import needs

TARGET = Path(__file__).parent / "metric-table.md"
HEAD = """# All metrics

Every metric that `speu eval` can tell, as its own definitions have them: `--require` and
[policies](ci.md#a-policy) take these names and no others. Written by `make docs`; do not edit. What is behind
them is told in [metrics](metrics.md), [measures of language models](metrics-lm.md) and
[attacks](attacks.md); the same definitions stand in what [`--json`](eval-json.md) prints.

`loss.{remaining,test}` stands for `loss.remaining` and `loss.test`. **Better**: *higher*, *lower*, or
*closer*, which is nearer to the value of a model that was retrained without the forgotten examples, neither
more nor less; *none*: no quality of the model. **Unit**: with the signs that a requirement may put behind a
number. The **interval** is a two-sided 95 % one. **Needs**: the task, where not all have the metric, and
options beyond the three sets.
"""
COLUMNS = ("metric", "definition", "better", "unit", "range", "interval", "needs")


def row(definition: Definition) -> str:
    """Return the line of a family."""
    unit = definition.unit
    signs = "".join(f", `{sign}`" for sign in unit.signs)
    cells = (
        f"`{definition.pattern}`",
        definition.meaning,
        definition.better,
        f"{unit.name}{signs}",
        f"{number(unit.low)} … {number(unit.high)}",
        definition.interval,
        needed(definition),
    )
    return f"| {' | '.join(cells)} |"


def number(bound: float) -> str:
    """Return the end of a range."""
    return f"{bound:g}".replace("inf", "∞").replace("-", "−")


def needed(definition: Definition) -> str:
    """Return tasks and options; where the names of a family need different ones, all of them."""
    each = dict.fromkeys(tuple(needs(name)) for name in definition.names)
    options = " or ".join(" and ".join(map(marked, one)) for one in each)
    return "; ".join(part for part in (", ".join(definition.tasks), options) if part)


def marked(option: str) -> str:
    """Return an option as code."""
    words, dashes, rest = option.partition("--")
    return f"{words}`{dashes}{rest}`"


def reference() -> str:
    """Return the whole page."""
    pages = [HEAD]
    for title, family in FAMILIES.items():
        lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *map(row, family)]
        pages.append("\n".join([f"## {title}", "", *lines, ""]))
    return "\n".join(pages)


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, reference(), made_of="what the definitions say", description=__doc__))
