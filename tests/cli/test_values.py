import pytest
import typer

from speu_cli.cli import values


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "x", "", "1", "-0.1"])
def test_share_is_finite_and_within_its_limits(text):
    with pytest.raises(typer.BadParameter, match="expected a finite number of at least 0 and below 1"):
        values.real(least=0, below=1)(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("0.9", 0.9), (" 1e-3 ", 0.001), (0.5, 0.5)])
def test_share_within_its_limits_is_taken(text, value):
    assert values.real(least=0, below=1)(text) == value


@pytest.mark.parametrize("text", ["0", "-3", "1.0", "x", ""])
def test_whole_number_is_whole_and_large_enough(text):
    with pytest.raises(typer.BadParameter, match="expected a whole number of at least 1"):
        values.whole(least=1)(text)


def test_whole_number_is_taken():
    assert values.whole(least=1)("1") == 1


@pytest.mark.parametrize(("text", "value"), [("wanda:.90", "wanda:0.9"), ("wanda:0", "wanda:0.0")])
def test_a_choice_inside_units_is_written_in_one_way(text, value):
    assert values.within(text) == value


@pytest.mark.parametrize(
    "text", ["wanda:1.5", "wanda:1", "wanda:x", "wanda:nan", "wanda", "0.9", "magnitude:0.5", ""]
)
def test_a_choice_inside_units_is_nothing_else(text):
    with pytest.raises(typer.BadParameter, match="expected wanda:S with S of at least 0 and below 1"):
        values.within(text)


def test_rate_is_auto_or_a_number():
    assert values.rate("auto") is None
    assert values.rate("1e-6") == 1e-6


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "Auto", ""])
def test_rate_is_nothing_else(text):
    with pytest.raises(typer.BadParameter, match="expected auto or a finite number above 0"):
        values.rate(text)
