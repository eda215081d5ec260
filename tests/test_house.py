"""The rooms of the package: who may import from whom, as CONTRIBUTING.md has it."""

import ast
import os
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "speu_cli"
DOOR = "speu_cli"  # the package's own __init__: it opens onto every room, and is none

TEXT_SUFFIXES = {".md", ".py", ".sh", ".toml", ".txt", ".yml", ".yaml", ".json", ".jsonl", ".csv", ".tsv"}
TEXT_NAMES = {"Dockerfile", "Makefile", "run", ".dockerignore", ".gitignore"}
CACHES = {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__"}
NOT_OURS = CACHES | {".git", ".venv", "build", "dist", "out"}
OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp)/")


def floors() -> dict[str, int]:
    """Floor of each room, from the table in CONTRIBUTING.md."""
    table = re.findall(r"^\| (\d) \| ([^|]+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return {room: int(floor) for floor, rooms in table for room in re.findall(r"`(\w+)`", rooms)}


def modules() -> dict[str, Path]:
    """Dotted name and file of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file takes from the package: modules, and names in them; anywhere in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == DOOR)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == DOOR:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    return name.split(".")[1]


def rooms() -> dict[str, Path]:
    """Modules that stand in a room."""
    return {name: path for name, path in modules().items() if name not in {DOOR, f"{DOOR}.__main__"}}


def test_every_room_has_a_floor() -> None:
    assert {room_of(name) for name in rooms()} == set(floors())


@pytest.mark.parametrize("name", rooms())
def test_imports_come_from_floors_below(name: str) -> None:
    floor = floors()
    mine = room_of(name)
    for taken in imports(rooms()[name]):
        theirs = room_of(taken)
        assert theirs == mine or floor.get(theirs, 99) <= floor[mine], f"{name} imports {taken}"


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in rooms().items():
        taken = {room_of(one) for one in imports(path)}
        graph.setdefault(room_of(name), set()).update(taken - {room_of(name)})
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_no_modules_import_in_a_circle() -> None:
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in rooms().items():
        taken = {one if one in known else one.rpartition(".")[0] for one in imports(path)}
        graph[name] = taken - {DOOR}
    TopologicalSorter(graph).prepare()


def text_files() -> Iterator[Path]:
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in NOT_OURS and not name.endswith(".egg-info")]
        for path in (Path(folder, name) for name in names):
            if path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES:
                yield path


def test_text_files_name_no_path_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if OF_ONE_MACHINE.search(line)
    ]
    assert not found
