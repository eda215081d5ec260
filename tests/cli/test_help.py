import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from speu_cli.cli.app import app
from speu_cli.cli.options import PANELS

COMMANDS = ["fisher", "merge", "mask", "unlearn", "eval", "compare", "train", "inspect"]
COMMANDS += [f"requests {name}" for name in ("init", "list", "show", "verify")]
GENERATOR = Path(__file__).parents[2] / "docs" / "generate_cli.py"


def help_of(*command, option="--help"):
    result = CliRunner().invoke(app, [*command, option], env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def command_of(name):
    """The command of this name, which may be below another."""
    found = get_command(app)
    for word in name.split():
        found = found.commands[word]
    return found


def names_of(group, above=()):
    """Names of all commands, in the order of the help pages."""
    for name, command in group.commands.items():
        yield " ".join((*above, name))
        yield from names_of(command, (*above, name)) if hasattr(command, "commands") else ()


def test_root_lists_the_commands_and_the_exit_codes():
    page = help_of()
    for command in get_command(app).commands:
        assert re.search(rf"^  {command} ", page, re.MULTILINE)
    for code in (0, 1, 2, 4, 5, 6, 7, 8, 70, 130, 141, 143):
        assert re.search(rf"\b{code}\b", page.partition("Exit codes:")[2])


@pytest.mark.parametrize("command", COMMANDS)
def test_short_option_shows_the_same_page(command):
    assert help_of(*command.split(), option="-h") == help_of(*command.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_page_has_panels_in_order_and_no_boxes(command):
    page = help_of(*command.split())
    headings = re.findall(r"^(\w+):$", page, re.MULTILINE)
    assert headings == [panel for panel in PANELS if panel in headings]
    assert {"Arguments", "Output"} <= set(headings)
    assert command.startswith("requests") or "Runtime" in headings
    assert page.isascii()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command):
    params = command_of(command).params
    assert [param.name for param in params if not param.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_json_quiet_and_verbose_are_there(command):
    page = help_of(*command.split())
    for option in ("--json", "-q, --quiet", "-v, --verbose"):
        assert option in page


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_parse(command):
    examples = help_of(*command.split()).partition("Examples:")[2].replace("\\\n", " ")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    for line in lines:
        words = shlex.split(re.sub(r"^torchrun --nproc-per-node \d+ -m speu_cli ", "speu ", line))
        name = command if words[1:2] != ["unlearn"] else "unlearn"  # what comes next
        assert words[: 1 + len(name.split())] == ["speu", *name.split()]
        command_of(name).make_context(name, words[1 + len(name.split()) :])


def test_reference_page_is_up_to_date():
    process = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_reference_page_has_every_command():
    page = (GENERATOR.parent / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## speu ?(.*)$", page, re.MULTILINE) == ["", *names_of(get_command(app))]


def test_completion_is_offered(monkeypatch):
    # The shell is looked for among the processes above, where a test need not have one.
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    result = CliRunner().invoke(app, ["--show-completion"], prog_name="speu")
    assert result.exit_code == 0
