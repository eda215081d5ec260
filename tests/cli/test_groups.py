import inspect
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from speu_cli.cli.groups import spread


@dataclass(frozen=True)
class Colour:
    hue: Annotated[str, typer.Option("--hue", help="The hue.")]
    depth: Annotated[int, typer.Option("--depth")] = 3


def test_a_group_becomes_its_options_and_arrives_whole():
    seen = []

    def paint(*, wall: Annotated[str, typer.Argument()], colour: Colour, coats: int = 1) -> None:
        """Paint a wall."""
        seen.append((wall, colour, coats))

    command = spread(paint)
    assert list(inspect.signature(command).parameters) == ["wall", "hue", "depth", "coats"]
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, ["north", "--hue", "blue", "--coats", "2"])
    assert result.exit_code == 0, result.output
    assert seen == [("north", Colour("blue", 3), 2)]


def test_a_group_field_without_default_is_required():
    def paint(*, colour: Colour) -> None:
        """Paint."""

    app = typer.Typer(rich_markup_mode=None)
    app.command()(spread(paint))
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "--hue" in result.stderr


def test_name_and_help_stay():
    def paint(*, colour: Colour) -> None:
        """Paint."""

    command = spread(paint)
    assert (command.__name__, command.__doc__) == ("paint", "Paint.")
