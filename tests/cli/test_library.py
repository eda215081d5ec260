"""``from speu_cli import …``."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, get_args, get_type_hints

import pytest

import speu_cli


@pytest.mark.parametrize("name", speu_cli.__all__)
def test_every_public_name_is_there(name):
    assert getattr(speu_cli, name) is not None
    assert name in dir(speu_cli)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = speu_cli.nonsense


def test_version_is_that_of_the_package():
    assert speu_cli.__version__ == version("speu")


def test_errors_cost_no_torch():
    script = "import sys; from speu_cli import InputError, Silent; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def classes_in(hint: Any) -> Iterator[Any]:
    """The dataclasses of the package that an annotation names."""
    if is_dataclass(hint) and hint.__module__.startswith("speu_cli."):
        yield hint
    for part in get_args(hint):
        yield from classes_in(part)


def test_what_results_hold_is_public_too():
    results = [getattr(speu_cli, name) for name in speu_cli.__all__ if name.endswith(("Result", "Plan"))]
    assert len(results) > 10
    seen = set()
    while results:
        found = results.pop()
        assert getattr(speu_cli, found.__name__, None) is found
        if found not in seen:
            hints = get_type_hints(found, vars(import_module(found.__module__)))
            results += [one for field in fields(found) for one in classes_in(hints[field.name])]
        seen.add(found)
