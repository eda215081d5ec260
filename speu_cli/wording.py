"""Numbers and sizes as a person reads them."""

import math

_THOUSAND = 1000
_SOME, _MANY = 2, 10
_UNITS = {"days": 86_400, "hours": 3600, "minutes": 60}


def as_text(value: object) -> str:
    """Return a value as text: four digits of a number, thousands apart, items in a row.

    Args:
        value: A part of a result.

    Returns:
        One line.
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}" if math.isfinite(value) else "not computed"
        case list() | tuple():
            return ", ".join(as_text(item) for item in value)
        case _:
            return str(value)


def duration(seconds: float) -> str:
    """Return a time, such as ``12.3 s`` or ``0.042 s``."""
    return f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds:.2g} s"


def long_duration(seconds: float) -> str:
    """Return a time in the largest unit that leaves at least two, such as ``3.4 hours``."""
    for unit, length in _UNITS.items():
        count = seconds / length
        if count >= _SOME:
            return f"{count:.1f} {unit}" if count < _MANY else f"{count:,.0f} {unit}"
    return duration(seconds)


def size(count: float) -> str:
    """Return a number of bytes in the largest unit that leaves at least one, such as ``4.2 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < _THOUSAND:
            return f"{count:.3g} {unit}"
        count /= _THOUSAND
    return f"{count:,.1f} GB"


def is_or_are(noun: str) -> str:
    """Return the verb that follows a noun: ``are`` after one in the plural."""
    return "are" if noun.endswith("s") and not noun.endswith("ss") else "is"


def part_of(part: int, whole: int) -> str:
    """Return a part of a whole with its share, such as ``14 of 144 (9.7 %)``."""
    share = 100 * part / whole if whole else 0.0
    return f"{part:,} of {whole:,} ({share:.3g} %)"
