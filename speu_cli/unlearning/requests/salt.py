"""Salted hashes of ids: who holds the salt can ask whether an id was forgotten, nobody else can.

The ledger must not keep what was deleted, and ids can be guessed: a plain hash of them would hide nothing.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from speu_cli.artifacts.digest import hash_text
from speu_cli.errors import ArtifactError, InputError

BYTES = 32
NAME_BYTES = 8
PRIVATE = 0o600


class Salt:
    """The secret of one state.

    Args:
        secret: Random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @property
    def fingerprint(self) -> str:
        """Names the salt without telling it."""
        return hash_text(self._secret.hex())

    def hash(self, example_id: str) -> str:
        """HMAC-SHA-256 of one id, hexadecimal."""
        return hmac.digest(self._secret, example_id.encode("utf-8", "surrogatepass"), "sha256").hex()

    def name(self, example_id: str) -> int:
        """First 64 bits of the hash, to find an example by: they fit an int64."""
        digest = hmac.digest(self._secret, example_id.encode("utf-8", "surrogatepass"), "sha256")
        return int.from_bytes(digest[:NAME_BYTES], "little", signed=True)

    def hashes(self, ids: Iterable[str]) -> list[str]:
        """Hashes of ids in ascending order, which tells nothing of the order of the ids."""
        return sorted(map(self.hash, ids))


def create_salt(path: Path) -> Salt:
    """Draw a salt and keep it, for its owner's eyes only.

    Args:
        path: File to make.

    Returns:
        The salt.
    """
    secret = secrets.token_bytes(BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with open(descriptor, "w") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(descriptor)
    return Salt(secret)


def read_salt(path: Path) -> Salt:
    """Read the salt of a state.

    Args:
        path: Its file.

    Returns:
        The salt.

    Raises:
        InputError: There is no such file.
        ArtifactError: It holds something else.
    """
    if not path.is_file():
        raise InputError(
            f"no salt {path}: without it nobody can tell which examples were forgotten",
            hint="put it back from where it is kept",
        )
    try:
        secret = bytes.fromhex(path.read_bytes()[: 4 * BYTES].decode("ascii"))
    except ValueError as error:
        raise ArtifactError(f"{path} is not a salt: it is not hexadecimal") from error
    if len(secret) != BYTES:
        raise ArtifactError(f"{path} is not a salt: {len(secret)} bytes, expected {BYTES}")
    return Salt(secret)
