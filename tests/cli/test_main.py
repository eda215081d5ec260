import json

import pytest

from speu_cli.cli.main import main

REQUIRED = {
    "fisher": ["model", "--data", "d", "-o", "out"],
    "mask": ["model", "--fisher", "f", "-o", "out"],
    "unlearn": ["model", "--fisher", "f", "--data", "d", "--forget", "i", "-o", "out"],
    "eval": ["model", "--data", "d", "--forget", "i", "--test", "t"],
    "train": ["base", "--data", "d", "-o", "out"],
    "inspect": ["file"],
}


def refused(capsys, *arguments):
    """The error line of a command line that is refused for how it is used."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("speu: error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    return lines[0].removeprefix("speu: error: ")


@pytest.mark.parametrize("command", REQUIRED)
def test_unknown_option(capsys, command):
    assert refused(capsys, command, *REQUIRED[command], "--zzz") == "no such option: --zzz"


@pytest.mark.parametrize("command", REQUIRED)
def test_missing_argument(capsys, command):
    assert "missing argument" in refused(capsys, command, *REQUIRED[command][1:])


@pytest.mark.parametrize("command", REQUIRED)
def test_surplus_argument(capsys, command):
    assert "extra" in refused(capsys, command, *REQUIRED[command], "surplus")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("fisher", "--data"),
        ("fisher", "-o"),
        ("mask", "--fisher"),
        ("mask", "-o"),
        ("unlearn", "--fisher"),
        ("unlearn", "--data"),
        ("unlearn", "--forget"),
        ("unlearn", "-o"),
        ("eval", "--data"),
        ("eval", "--forget"),
        ("eval", "--test"),
        ("train", "--data"),
        ("train", "-o"),
    ],
)
def test_missing_option(capsys, command, option):
    arguments = list(REQUIRED[command])
    place = arguments.index(option)
    del arguments[place : place + 2]
    name = "--output" if option == "-o" else option
    assert f"missing option '{name}'" in refused(capsys, command, *arguments)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("fisher", "--device", "tpu"),
        ("fisher", "--batch-tokens", "0"),
        ("fisher", "--max-examples", "1.5"),
        ("fisher", "--seed", "-1"),
        ("fisher", "--max-length", "0"),
        ("mask", "--sparsity", "1"),
        ("mask", "--sparsity", "nan"),
        ("mask", "--kinds", "neurons"),
        ("mask", "--curvature", "sum"),
        ("mask", "--rounds", "-1"),
        ("mask", "--objective", "loss"),
        ("mask", "--within", "wanda:1.5"),
        ("mask", "--within", "wanda:x"),
        ("mask", "--within", "0.9"),
        ("unlearn", "--method", "magic"),
        ("unlearn", "--rate", "inf"),
        ("unlearn", "--target-loss", "nan"),
        ("unlearn", "--max-overshoot", "0.5"),
        ("unlearn", "--damping", "-1"),
        ("unlearn", "--forget-examples", "some"),
        ("unlearn", "--objective", "loss"),
        ("unlearn", "--within", "wanda:1"),
        ("unlearn", "--ssd-alpha", "-1"),
        ("unlearn", "--ssd-lambda", "0"),
        ("eval", "--max-remaining", "0"),
        ("train", "--epochs", "0"),
        ("train", "--learning-rate", "nan"),
        ("train", "--batch-size", "0"),
        ("train", "--weight-decay", "-1"),
        ("train", "--num-labels", "0"),
    ],
)
def test_bad_value_names_the_option_and_what_was_given(capsys, command, option, value):
    line = refused(capsys, command, *REQUIRED[command], option, value)
    assert line.startswith(f"invalid value for '{option}'")
    assert repr(value) in line
    assert "Value error" not in line


def test_bad_value_in_the_environment_names_the_variable(capsys, monkeypatch):
    monkeypatch.setenv("SPEU_BATCH_TOKENS", "many")
    line = refused(capsys, "fisher", *REQUIRED["fisher"])
    assert "--batch-tokens" in line
    assert "SPEU_BATCH_TOKENS" in line


def test_unknown_command_suggests(capsys):
    assert refused(capsys, "fishr") == "no such command 'fishr'. Did you mean 'fisher'?"


def test_two_readers_of_standard_input(capsys):
    line = refused(capsys, "fisher", *REQUIRED["fisher"], "--ids", "-", "--exclude", "-")
    assert line.startswith("--ids and --exclude")


def test_no_command_shows_the_help_on_standard_error(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: speu" in err


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(capsys, option):
    from speu_cli import __version__

    assert main([option]) == 0
    assert capsys.readouterr().out == f"speu {__version__}\n"


def test_version_as_json_names_the_libraries(capsys):
    assert main(["--version", "--json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert sorted(versions) == ["python", "safetensors", "speu", "torch", "transformers"]
