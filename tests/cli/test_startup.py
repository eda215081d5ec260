"""What is imported before a command runs; times are for benchmarks, names are for tests."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "numpy", "datasets", "pandas", "rich", "matplotlib", "safetensors", "scipy"}


def imported(*arguments):
    process = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    names = [line.rpartition("|")[2].strip() for line in process.stderr.splitlines() if "|" in line]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import speu_cli"],
        ["-c", "import speu_cli.cli.main"],
        ["-m", "speu_cli", "--help"],
        ["-m", "speu_cli", "--version"],
        ["-m", "speu_cli", "--version", "--json"],
        ["-m", "speu_cli", "fisher", "--help"],
        ["-m", "speu_cli", "unlearn", "-h"],
    ],
    ids=" ".join,
)
def test_nothing_heavy(arguments):
    assert imported(*arguments) & HEAVY == set()


def test_help_does_without_pydantic():
    assert "pydantic" not in imported("-m", "speu_cli", "fisher", "--help")
