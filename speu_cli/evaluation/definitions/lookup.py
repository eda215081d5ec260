"""Metrics by name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from speu_cli.evaluation.definitions.definition import SCALELESS, Definition, Unit
from speu_cli.evaluation.definitions.families import FAMILIES

DEFINITIONS: Mapping[str, Definition] = {
    name: definition for family in FAMILIES.values() for definition in family for name in definition.names
}
MOST_NEAR = 3


def unit_of(name: str) -> Unit:
    """The unit of a metric; of a name that none has, one without a scale."""
    return DEFINITIONS[name].unit if name in DEFINITIONS else SCALELESS


def definitions_of(names: Iterable[str]) -> dict[str, Definition]:
    """The definitions of those that have one, by name."""
    return {name: DEFINITIONS[name] for name in names if name in DEFINITIONS}


def nearest(name: str, among: Iterable[str] = DEFINITIONS) -> list[str]:
    """Find names that may have been meant.

    Args:
        name: What was written.
        among: Names that there are. Default: all metrics.

    Returns:
        The nearest in spelling, else those that it is a part of; at most three.
    """
    known = list(among)
    within = [one for one in known if f".{name}." in f".{one}."]
    return (get_close_matches(name, known, MOST_NEAR) or within)[:MOST_NEAR]
