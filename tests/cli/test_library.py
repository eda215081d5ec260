"""``from speu_cli import …``."""

import subprocess
import sys
from importlib.metadata import version

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
