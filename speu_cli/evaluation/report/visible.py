"""Text of the data as text: what would steer a terminal, a browser or the reading order is written out."""

import unicodedata

# Control, format (such as a change of the reading order), surrogate, private and unassigned characters;
# separators of lines and paragraphs.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BYTE, _PLANE = 0x100, 0x10000
_OF_MARKDOWN = set("\\`*_{}[]()#+-.!|<>&~@:")


def visible(text: str, longest: int) -> str:
    """Write out what cannot be seen, and cut what is too long.

    Args:
        text: Any.
        longest: Characters of the text to keep.

    Returns:
        One line; still to be escaped for the language that it is put into.
    """
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(_escaped(one) if unicodedata.category(one) in _HIDDEN else one for one in cut)


def _escaped(character: str) -> str:
    number = ord(character)
    if number < _BYTE:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < _PLANE else f"\\U{number:08x}"


def in_markdown(text: str) -> str:
    """Escape a visible text for a cell of a Markdown table, whatever reads it."""
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "@": "&#64;", ":": "&#58;"}
    return "".join(
        entities[one] if one in entities else f"\\{one}" if one in _OF_MARKDOWN else one for one in text
    )
