"""Parsers of option values: finite numbers in their range, told in plain words."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import typer

from speu_cli.errors import InputError


def real(
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
) -> Callable[[object], float]:
    """Return a parser of finite numbers within limits.

    Args:
        least: The smallest number allowed.
        above: Every number allowed is larger than this.
        below: Every number allowed is smaller than this.
        infinite: ``inf`` is allowed.

    Returns:
        A parser that refuses nan, other infinities and numbers outside of the limits.
    """
    limits = [
        text
        for text, limit in (
            (f"of at least {least}", least),
            (f"above {above}", above),
            (f"below {below}", below),
        )
        if limit is not None
    ]
    number = "a number, or inf," if infinite else "a finite number"
    expected = " ".join([number, " and ".join(limits)]).strip()

    def parse(text: object) -> float:
        try:
            value = float(str(text))
        except ValueError:
            value = math.nan
        inside = (
            (value < math.inf or (infinite and value == math.inf))
            and value > -math.inf
            and (least is None or value >= least)
            and (above is None or value > above)
            and (below is None or value < below)
        )
        if not inside:
            raise typer.BadParameter(f"got {str(text)!r}, expected {expected}")
        return value

    return parse


def whole(*, least: int) -> Callable[[object], int]:
    """Return a parser of whole numbers of at least ``least``."""

    def parse(text: object) -> int:
        try:
            value = int(str(text))
        except ValueError:
            value = least - 1
        if value < least:
            raise typer.BadParameter(f"got {str(text)!r}, expected a whole number of at least {least}")
        return value

    return parse


def one_of(choices: Sequence[str]) -> Callable[[object], str]:
    """Return a parser of one of some words, for an option that may be repeated."""

    def parse(text: object) -> str:
        if str(text) not in choices:
            raise typer.BadParameter(f"got {str(text)!r}, expected one of {', '.join(choices)}")
        return str(text)

    return parse


def batch_tokens(text: object) -> int:
    """Parse the size of a batch: ``auto`` (0) or a whole number.

    Args:
        text: What was given.

    Returns:
        Tokens, or 0 where the size is to be found by trial.

    Raises:
        typer.BadParameter: It is neither.
    """
    if str(text) == "auto":
        return 0
    try:
        return whole(least=1)(text)
    except typer.BadParameter as error:
        expected = "expected auto or a whole number of at least 1"
        raise typer.BadParameter(f"got {str(text)!r}, {expected}") from error


def directions(text: object) -> int | None:
    """Parse a number of directions: ``auto`` (None) or a whole number, 0 for none.

    Args:
        text: What was given.

    Returns:
        The number, or None where the task decides it.

    Raises:
        typer.BadParameter: It is neither.
    """
    if str(text) == "auto":
        return None
    try:
        return whole(least=0)(text)
    except typer.BadParameter as error:
        expected = "expected auto or a whole number of at least 0"
        raise typer.BadParameter(f"got {str(text)!r}, {expected}") from error


def device(text: object) -> str:
    """Parse the name of a device; whether it is there is for the stage to find.

    Args:
        text: What was given.

    Returns:
        The name.

    Raises:
        typer.BadParameter: No such device exists anywhere.
    """
    name = str(text)
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is None:
        raise typer.BadParameter(f"got {name!r}, expected cpu, cuda, cuda:N, mps or auto")
    return name


def within(text: object) -> str:
    """Parse how entries are chosen inside units: ``wanda:S``, S of at least 0 and below 1.

    Args:
        text: What was given.

    Returns:
        It, with S as Python writes it.

    Raises:
        typer.BadParameter: It is something else.
    """
    method, _, sparsity = str(text).partition(":")
    try:
        if method != "wanda":
            raise typer.BadParameter("unknown")
        return f"wanda:{real(least=0, below=1)(sparsity)!r}"
    except typer.BadParameter as error:
        expected = "expected wanda:S with S of at least 0 and below 1"
        raise typer.BadParameter(f"got {str(text)!r}, {expected}") from error


def named(*names: str) -> Callable[[object], str]:
    """Return a parser of ``NAME=VALUE`` with one of these names, which keeps the text as it is."""

    def parse(text: object) -> str:
        name, _, value = str(text).partition("=")
        if name not in names or not value:
            expected = f"NAME=SOURCE, NAME one of {', '.join(names)}"
            raise typer.BadParameter(f"got {str(text)!r}, expected {expected}")
        return str(text)

    return parse


def pair(text: object) -> str:
    """Parse ``NAME=FILE`` with any name.

    Args:
        text: What was given.

    Returns:
        It, as it is.

    Raises:
        typer.BadParameter: It has no name or no file.
    """
    name, _, path = str(text).partition("=")
    if not name or not path:
        raise typer.BadParameter(f"got {str(text)!r}, expected NAME=FILE")
    return str(text)


def by_name(option: str, given: Iterable[str]) -> dict[str, str]:
    """Map names to what was given for them as ``NAME=VALUE``.

    Args:
        option: That they were given with.
        given: All that were given.

    Returns:
        The values.

    Raises:
        InputError: A name is there twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name in found:
            raise InputError(f"{option} {name}= is there twice, expected every name once")
        found[name] = value
    return found


def rate(text: object) -> float | None:
    """Parse a learning rate: ``auto`` (None) or a finite number above 0.

    Args:
        text: What was given.

    Returns:
        The rate, or None where it is to be searched for.

    Raises:
        typer.BadParameter: It is neither.
    """
    if str(text) == "auto":
        return None
    try:
        return real(above=0)(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"got {str(text)!r}, expected auto or a finite number above 0") from error
