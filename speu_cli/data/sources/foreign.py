"""Errors of the libraries that read for us, told in one line."""

from collections.abc import Generator
from contextlib import contextmanager

from speu_cli.errors import InputError, SpeuError

SHOWN_CHARACTERS = 200


@contextmanager
def told_in_one_line(source: str, expected: str) -> Generator[None, None, None]:
    """Turn whatever a library raises about a source into one error of ours.

    Args:
        source: What the message names.
        expected: What the source should have been.

    Yields:
        Nothing.

    Raises:
        InputError: The library failed.
        SpeuError: As it was raised: it is ours already.
        MemoryError: As it was raised: the source is not to blame.
    """
    try:
        yield
    except (SpeuError, MemoryError):
        raise
    except Exception as error:  # these libraries have no closed set of exceptions for bad input
        told = " ".join(str(error).split())[:SHOWN_CHARACTERS] or type(error).__name__
        raise InputError(f"{source}: cannot be read, expected {expected} ({told})") from error
