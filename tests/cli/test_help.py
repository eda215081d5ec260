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

COMMANDS = ["fisher", "merge", "mask", "unlearn", "eval", "train", "inspect"]
GENERATOR = Path(__file__).parents[2] / "docs" / "generate_cli.py"


def help_of(*command, option="--help"):
    result = CliRunner().invoke(app, [*command, option], env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def test_root_lists_the_commands_and_the_exit_codes():
    page = help_of()
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", page, re.MULTILINE)
    for code in (0, 1, 2, 4, 5, 6, 7, 8, 70, 130, 141, 143):
        assert re.search(rf"\b{code}\b", page.partition("Exit codes:")[2])


@pytest.mark.parametrize("command", COMMANDS)
def test_short_option_shows_the_same_page(command):
    assert help_of(command, option="-h") == help_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_page_has_panels_in_order_and_no_boxes(command):
    page = help_of(command)
    headings = re.findall(r"^(\w+):$", page, re.MULTILINE)
    assert headings == [panel for panel in PANELS if panel in headings]
    assert {"Arguments", "Output", "Runtime"} <= set(headings)
    assert page.isascii()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command):
    params = get_command(app).commands[command].params
    assert [param.name for param in params if not param.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_json_quiet_and_verbose_are_there(command):
    page = help_of(command)
    for option in ("--json", "-q, --quiet", "-v, --verbose"):
        assert option in page


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_parse(command):
    group = get_command(app)
    examples = help_of(command).partition("Examples:")[2].replace("\\\n", " ")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    for line in lines:
        words = shlex.split(re.sub(r"^torchrun --nproc-per-node \d+ -m speu_cli ", "speu ", line))
        assert words[:2] == ["speu", command]
        group.commands[command].make_context(command, words[2:])


def test_reference_page_is_up_to_date():
    process = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_reference_page_has_every_command():
    page = (GENERATOR.parent / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## speu ?(.*)$", page, re.MULTILINE) == ["", *get_command(app).commands]


def test_completion_is_offered():
    result = CliRunner().invoke(app, ["--show-completion"], prog_name="speu", env={"SHELL": "/bin/bash"})
    assert result.exit_code == 0
