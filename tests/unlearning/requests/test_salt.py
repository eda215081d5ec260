"""Salted hashes of ids."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from speu_cli.errors import ArtifactError, InputError
from speu_cli.unlearning.requests.salt import Salt, create_salt, read_salt


def test_a_salt_is_read_back_and_is_private(tmp_path: Path) -> None:
    made = create_salt(tmp_path / "salt")
    assert read_salt(tmp_path / "salt").hash("a") == made.hash("a")
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600


def test_no_salt_replaces_another(tmp_path: Path) -> None:
    made = create_salt(tmp_path / "salt")
    with pytest.raises(FileExistsError):
        create_salt(tmp_path / "salt")
    assert read_salt(tmp_path / "salt").fingerprint == made.fingerprint


def test_two_salts_differ_and_give_other_hashes(tmp_path: Path) -> None:
    one, two = create_salt(tmp_path / "one"), create_salt(tmp_path / "two")
    assert one.fingerprint != two.fingerprint
    assert one.hash("a") != two.hash("a")


def test_the_hash_is_hmac_sha_256() -> None:
    secret = bytes(range(32))
    assert Salt(secret).hash("é") == hmac.new(secret, "é".encode(), hashlib.sha256).hexdigest()


def test_hashes_do_not_tell_the_order_of_the_ids() -> None:
    salt = Salt(bytes(32))
    assert salt.hashes(["b", "a"]) == salt.hashes(["a", "b"]) == sorted([salt.hash("a"), salt.hash("b")])


def test_the_fingerprint_is_not_the_secret(tmp_path: Path) -> None:
    made = create_salt(tmp_path / "salt")
    assert made.fingerprint not in (tmp_path / "salt").read_text()


def test_a_missing_salt_says_what_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which examples were forgotten"):
        read_salt(tmp_path / "salt")


@pytest.mark.parametrize("content", [b"", b"00", b"x" * 64, b"\xff" * 64, b"00" * 33, b"00" * 10_000])
def test_what_is_no_salt_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "salt").write_bytes(content)
    with pytest.raises(ArtifactError, match="not a salt"):
        read_salt(tmp_path / "salt")
