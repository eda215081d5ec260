"""An image of a data set: where it is, what it holds, and the pixels when they are needed."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from speu_cli.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

# What Pillow reads by itself; others, such as EPS, are handed to programs outside.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file, on the disk or in a cell of a table.

    Attributes:
        name: What messages call it.
        sha256: Of the file's bytes.
        path: The file; None: its bytes are in ``content``.
        content: The bytes.
    """

    name: str
    sha256: str
    path: Path | None = None
    content: bytes | None = None

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> "Picture":
        """Find an image file below the folder of its data set.

        Args:
            folder: The folder.
            name: Path from there.

        Returns:
            The picture.

        Raises:
            InputError: The path leads elsewhere, or to no readable file.
        """
        relative = Path(name)
        try:
            root = folder.resolve()
            path = (root / relative).resolve()
            if relative.is_absolute() or ".." in relative.parts or not path.is_relative_to(root):
                raise InputError(f"image {name!r} is not below {folder}, expected a path from there")
            if not path.is_file():  # opening another kind, such as a pipe, may wait for ever
                raise InputError(f"image {name!r} in {folder}: got no file, expected one")
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError, RuntimeError) as error:  # a null byte in the name; links in a circle
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"image {name!r} in {folder} cannot be read: {reason.lower()}") from error
        return cls(name, digest, path=path)

    @classmethod
    def of_bytes(cls, name: str, content: bytes) -> "Picture":
        """An image in a cell."""
        return cls(name, hashlib.sha256(content).hexdigest(), content=content)

    def check(self) -> None:
        """Refuse what is no image, or too large a one, without decoding its pixels.

        Raises:
            InputError: It is.
        """
        self._opened(decode=False)

    def pixels(self) -> "Image":
        """Decode the image as RGB, turned as its camera says.

        Returns:
            The image.

        Raises:
            InputError: It cannot be decoded, or is too large.
        """
        return self._opened(decode=True)

    def _opened(self, *, decode: bool) -> "Image":
        from PIL import Image, ImageOps

        source = self.path or BytesIO(self.content or b"")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(source, formats=FORMATS) as image:
                    return ImageOps.exif_transpose(image).convert("RGB") if decode else image
        except MemoryError:
            raise
        except Exception as error:  # Pillow has no closed set of exceptions for broken files
            told = " ".join(str(error).split())[:SHOWN_CHARACTERS]
            raise InputError(
                f"image {self.name!r} cannot be decoded: {told}, expected one of {', '.join(FORMATS)}",
                hint="leave it out, or save it anew; an image may have at most "
                f"{Image.MAX_IMAGE_PIXELS or 0:,} pixels",
            ) from error
