"""Write docs/cli.md from the help pages that the commands really print; ``--check`` only compares."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parent / "cli.md"
COMMANDS = [
    *("fisher", "merge", "mask", "unlearn", "eval", "train", "inspect"),
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


def main() -> int:
    """Write the page, or with ``--check`` tell whether it is up to date.

    Returns:
        0, or 1 if the page checked is not what the commands print.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is not up to date")
    page = reference()
    if not parser.parse_args().check:
        TARGET.write_text(page, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
        print(f"{TARGET} is not what the commands print; run make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
