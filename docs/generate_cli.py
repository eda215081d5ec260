"""Write docs/cli.md from the help pages that the commands really print; ``--check`` only compares."""

import os
import subprocess
import sys
from pathlib import Path

from generated import write_or_check

TARGET = Path(__file__).parent / "cli.md"
COMMANDS = [
    *("fisher", "merge", "mask", "unlearn", "eval", "compare", "train", "inspect"),
    *("requests", "requests init", "requests list", "requests show"),
    *("requests verify", "requests report", "requests compact"),
]
HEAD = """# Commands

The help pages of every command, as `speu COMMAND --help` prints them. Written by `make docs`; do not edit.
Exit codes are explained in [exit-codes.md](exit-codes.md).
"""


def help_page(command: list[str]) -> str:
    """Return what ``speu COMMAND --help`` prints, 100 columns wide, whatever the settings here."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("SPEU_", "TYPER_"))}
    settings |= {"COLUMNS": "100", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    process = subprocess.run(  # noqa: S603  the arguments are those above
        [sys.executable, "-m", "speu_cli", *command, "--help"],
        env=settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in process.stdout.strip().splitlines())


def reference() -> str:
    """Return the whole page."""
    pages = [HEAD]
    for command in [[], *(name.split() for name in COMMANDS)]:
        title = " ".join(["speu", *command])
        pages.append(f"## {title}\n\n```text\n{help_page(command)}\n```\n")
    return "\n".join(pages)


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, reference(), made_of="what the commands print", description=__doc__))
