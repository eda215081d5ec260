"""The definitions of the metrics in a report."""

from collections.abc import Mapping
from dataclasses import dataclass

from speu_cli.evaluation.definitions.definition import CLOSER, HIGHER, LOWER, Definition

_BETTER = {
    HIGHER: "Higher is better.",
    LOWER: "Lower is better.",
    CLOSER: "Better the closer to the retrained model.",
}


@dataclass(frozen=True)
class Defined:
    """A definition on a page.

    Attributes:
        anchor: Its id on the page.
        pattern: The names that it is of.
        sentence: What it says.
    """

    anchor: str
    pattern: str
    sentence: str


def definitions(named: Mapping[str, Definition]) -> list[Defined]:
    """Write the definitions, each once, in the order of their metrics.

    Args:
        named: By the name of a metric.

    Returns:
        The definitions.
    """
    by_pattern = {one.pattern: one for one in named.values()}
    return [Defined(anchor_of(one), pattern, _sentence(one)) for pattern, one in by_pattern.items()]


def anchors(named: Mapping[str, Definition]) -> dict[str, str]:
    """The anchor of each metric's definition, by the metric's name."""
    return {name: anchor_of(one) for name, one in named.items()}


def anchor_of(definition: Definition) -> str:
    """The id on a page, of letters, digits, dots and dashes."""
    return f"definition-{definition.names[0]}"


def _sentence(definition: Definition) -> str:
    interval = f"Interval: {definition.interval}." if definition.has_interval else "It has no interval."
    meaning = definition.meaning[:1].upper() + definition.meaning[1:].rstrip(".")
    parts = [f"{meaning}.", _BETTER.get(definition.better, ""), f"Unit: {definition.unit.name}.", interval]
    return " ".join(filter(None, parts))
