"""A page that a script writes: made again, or only compared with what is there."""

import argparse
import sys
from pathlib import Path


def write_or_check(target: Path, page: str, *, made_of: str, description: str | None) -> int:
    """Write a page, or with ``--check`` on the command line tell whether it is up to date.

    Args:
        target: Where it belongs.
        page: What it should be.
        made_of: What it shows, for the message that it does not.
        description: Of the script, for its help.

    Returns:
        0, or 1 if the page checked is another one.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is not up to date")
    if not parser.parse_args().check:
        target.write_text(page, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != page:
        print(f"{target} is not {made_of}; run make docs", file=sys.stderr)
        return 1
    return 0
