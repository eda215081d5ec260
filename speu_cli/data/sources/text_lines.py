"""Lines of a text file, plain or gzipped, with errors that name the line."""

import gzip
import zlib
from collections.abc import Iterator
from typing import IO, cast

from speu_cli.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def text_lines(source: str) -> Iterator[str]:
    r"""Read a UTF-8 file line by line.

    Lines end at ``\n`` only, and keep their end: quoted CSV fields may hold any other line break.

    Args:
        source: The file; ``.gz`` at its end means gzip.

    Yields:
        The lines, a byte order mark taken off the first.

    Raises:
        InputError: The file cannot be read, is a broken gzip file, or is not UTF-8.
    """
    number = 0
    try:
        with _opened(source) as file:
            for number, line in enumerate(file, start=1):
                yield (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}, line {number}: got byte {error.object[error.start]:#04x}, expected UTF-8 text",
            hint="convert the file to UTF-8",
        ) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{source}: got a broken gzip file after line {number}, expected a whole one ({error})"
        ) from error
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _opened(source: str) -> IO[bytes]:
    if source.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(source, "rb"))
    return open(source, "rb")
