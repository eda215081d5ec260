"""Write docs/python.md from the docstrings of what ``speu_cli`` exports; ``--check`` only compares."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import griffe
from generated import write_or_check

TARGET = Path(__file__).parent / "python.md"
ERRORS = "speu_cli.errors."
LINE = 100
HEAD = """# Python

What `speu_cli` exports, from the docstrings. Written by `make docs`; do not edit. The README has
[an example](../README.md#as-a-library); what an option does is said at more length in [commands](cli.md).
Importing `speu_cli` loads nothing heavy: a name is loaded when it is first used.
"""

Item = griffe.Function | griffe.Class


def plain(text: str) -> str:
    """Return the text of a docstring as Markdown."""
    spans = re.split(r"``(.+?)``", re.sub(r":\w+:`(.+?)`", r"``\1``", text))
    spans[::2] = [re.sub(r"([*_<\[\]|])", r"\\\1", span) for span in spans[::2]]
    spans[1::2] = [f"`{span}`" for span in spans[1::2]]
    return "".join(spans)


def table(kind: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return names and their meanings as a table, each meaning on one line."""
    cells = ((name.replace("|", r"\|"), " ".join(plain(meaning).split())) for name, meaning in rows)
    lines = [f"| `{name}` | {meaning} |" for name, meaning in cells]
    return "\n".join([f"| {kind} | |", "|---|---|", *lines])


def signature(function: griffe.Function) -> str:
    """Return the signature of a function or method, one parameter a line where one line is too long."""
    whole = function.signature()
    if len(whole) > LINE:
        lines = []
        for parameter in function.parameters:
            if parameter.kind is griffe.ParameterKind.keyword_only and "*" not in lines:
                lines.append("*")
            lines.append(f"{parameter.name}: {parameter.annotation}")
            lines[-1] += "" if parameter.default is None else f" = {parameter.default}"
        listed = "".join(f"    {line},\n" for line in lines)
        whole = f"{function.name}(\n{listed}) -> {function.returns}"
    return f"```python\n{whole}\n```"


def sections(item: Item) -> Iterator[str]:
    """Give the sections of a docstring in their order."""
    for section in item.docstring.parsed if item.docstring else []:
        value: Any = section.value
        match section.kind:
            case griffe.DocstringSectionKind.text:
                yield plain(value)
            case griffe.DocstringSectionKind.parameters:
                yield table("parameter", ((one.name, one.description) for one in value))
            case griffe.DocstringSectionKind.attributes:
                typed = ((f"{one.name}: {one.annotation}", one.description) for one in value)
                yield table("attribute", typed)
            case griffe.DocstringSectionKind.returns:
                yield "**Returns** " + " ".join(plain(one.description) for one in value)
            case griffe.DocstringSectionKind.raises:
                yield table("raises", ((str(one.annotation), one.description) for one in value))
            case _:
                raise ValueError(f"{item.path}: a section of {section.kind.value} has no form on this page")


def entry(item: Item) -> str:
    """Return all that is said of a function or class, its methods included."""
    parts = [f"### {item.name}"]
    if isinstance(item, griffe.Function):
        parts.append(signature(item))
    parts += sections(item)
    if isinstance(item, griffe.Class):
        code = item.members.get("exit_code")
        parts += [f"Exit code {code.value}."] if isinstance(code, griffe.Attribute) else []
        for method in item.members.values():
            if isinstance(method, griffe.Function) and not method.name.startswith("_"):
                parts += [signature(method), *sections(method)]
    return "\n\n".join(parts)


def named_in(items: Iterable[Item]) -> set[str]:
    """Return the paths of the package's own classes that the annotations of these name."""
    found: set[str] = set()
    for item in items:
        attributes = [one for one in item.members.values() if isinstance(one, griffe.Attribute)]
        annotations = [one.annotation for one in [*item.parameters, *attributes]]
        found |= own(annotations + ([item.returns] if isinstance(item, griffe.Function) else []))
    return found


def own(annotations: Iterable[str | griffe.Expr | None]) -> set[str]:
    """Return the paths of the package's own classes among the names in annotations."""
    found: set[str] = set()
    for annotation in annotations:
        names = annotation.iterate() if isinstance(annotation, griffe.Expr) else ()
        found |= {one.canonical_path for one in names if isinstance(one, griffe.ExprName)}
    return {path for path in found if path.startswith("speu_cli.")}


def reached(package: griffe.Module, functions: Iterable[griffe.Function]) -> set[str]:
    """Return the paths of the package's own classes that functions return, and of those that these hold."""
    found = left = own(function.returns for function in functions)
    while left:
        items = [package[path.removeprefix("speu_cli.")] for path in left]
        left = named_in(item for item in items if isinstance(item, griffe.Class)) - found
        found = found | left
    return found


def exported(package: griffe.Module) -> list[Item]:
    """Return the functions and classes that the package exports, in the order of their names."""
    items = []
    for name in sorted(str(name) for name in package.exports or []):
        found = package.members[name]
        item = found.final_target if isinstance(found, griffe.Alias) else found
        if isinstance(item, griffe.Function | griffe.Class):
            items.append(item)
    return items


def reference() -> str:
    """Return the whole page."""
    package = griffe.load("speu_cli", search_paths=[str(TARGET.parents[1])], docstring_parser="google")
    if not isinstance(package, griffe.Module):
        raise TypeError(f"speu_cli is no package, but {package}")
    items = exported(package)
    functions = [item for item in items if isinstance(item, griffe.Function)]
    classes = [item for item in items if isinstance(item, griffe.Class)]
    errors = [item for item in classes if item.path.startswith(ERRORS)]
    returned = reached(package, functions)
    results = [item for item in classes if item.path in returned]
    given = [item for item in classes if item not in errors and item not in results]
    pages = [HEAD, "## Functions", *map(entry, functions), "## What they take", *map(entry, given)]
    pages += ["## What they return", *map(entry, results)]
    pages += ["## Errors", *map(entry, errors)]
    return "\n\n".join(page.strip() for page in pages) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, reference(), made_of="what the docstrings say", description=__doc__))
