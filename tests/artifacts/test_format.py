import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from speu_cli.artifacts.digest import canonical_json, hash_tensors
from speu_cli.artifacts.format import FORMAT_VERSION, MAX_RECORD, read_artifact, write_artifact
from speu_cli.errors import ArtifactError, InputError, OutputExistsError

TENSORS: dict[str, Tensor] = {
    "fisher/a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "empty": torch.zeros(0),
    "flags": torch.tensor([True, False]),
    "numbers": torch.tensor([-1, 2**40]),
    "transposed": torch.arange(4.0).reshape(2, 2).T,
}
RECORD: dict[str, Any] = {"data": {"count": 3}, "text": "größer"}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "artifact.safetensors"
    write_artifact(path, "statistics", RECORD, TENSORS, force=False)
    return path


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header as JSON, and the bytes after it."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:end])
    return header, content[end:]


def put_header(path: Path, header: str, payload: bytes) -> None:
    text = header.encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + payload)


def signed(record: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What a forger would write: the checksum is that of the content."""
    unsigned = {key: value for key, value in record.items() if key != "sha256"}
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return unsigned | {"sha256": hash_tensors(tensors, preamble=text)}


def forge(path: Path, record: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    full = {"format": "speu", "version": FORMAT_VERSION, "kind": "statistics", **record}
    save_file(tensors, path, metadata={"speu": json.dumps(signed(full, tensors))})


def test_round_trip(artifact: Path) -> None:
    read = read_artifact(artifact, "statistics")
    assert read.record | RECORD == read.record
    assert (read.record["format"], read.record["version"], read.record["kind"]) == ("speu", 1, "statistics")
    assert read.digest == read.record["sha256"]
    assert read.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert torch.equal(read.tensors[name], tensor)


def test_the_digest_is_returned_and_names_the_content(artifact: Path, tmp_path: Path) -> None:
    again = write_artifact(tmp_path / "again", "statistics", RECORD, TENSORS, force=False)
    other = write_artifact(tmp_path / "other", "statistics", {**RECORD, "more": 1}, TENSORS, force=False)
    assert again == read_artifact(artifact).digest
    assert other != again


def test_one_metadata_key(artifact: Path) -> None:
    """With two the library's order is random, and so are the bytes."""
    assert list(header_of(artifact)[0]["__metadata__"]) == ["speu"]


def test_equal_bytes_in_every_process(artifact: Path, tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path; from speu_cli.artifacts.format import write_artifact\n"
        "from safetensors.torch import load_file\n"
        "tensors = dict(sorted(load_file(sys.argv[1]).items(), reverse=True))\n"
        "record = {'text': 'größer', 'data': {'count': 3}}\n"
        "write_artifact(Path(sys.argv[2]), 'statistics', record, tensors, force=False)"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    arguments = [sys.executable, "-c", script, artifact, tmp_path / "again"]
    subprocess.run(arguments, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
    assert (tmp_path / "again").read_bytes() == artifact.read_bytes()


def test_existing_file_is_kept(artifact: Path) -> None:
    before = artifact.read_bytes()
    with pytest.raises(OutputExistsError):
        write_artifact(artifact, "statistics", {}, {}, force=False)
    assert artifact.read_bytes() == before


def test_record_must_be_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_artifact(tmp_path / "target", "statistics", {"loss": float("nan")}, {}, force=False)
    assert list(tmp_path.iterdir()) == []


def test_cut_at_every_byte(artifact: Path) -> None:
    content = artifact.read_bytes()
    for length in range(len(content)):
        artifact.write_bytes(content[:length])
        with pytest.raises(ArtifactError):
            read_artifact(artifact)


def test_longer_by_a_byte(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes() + b"\0")
    with pytest.raises(ArtifactError):
        read_artifact(artifact)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_every_flipped_byte_is_found(flip: int, artifact: Path) -> None:
    content = artifact.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    passed = []
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= flip
        artifact.write_bytes(damaged)
        try:
            read = read_artifact(artifact)
        except ArtifactError:
            continue
        passed.append(position)
        # What passes says the same: white space in the padding of the header, a name's case nowhere.
        assert content[position : position + 1].isspace()
        assert position < end
        assert read.digest == json.loads(header_of(artifact)[0]["__metadata__"]["speu"])["sha256"]
    assert len(passed) <= 8


def test_newer_version(artifact: Path) -> None:
    forge(artifact, {"version": FORMAT_VERSION + 1}, {})
    with pytest.raises(ArtifactError, match="format version 2, this speu reads version 1"):
        read_artifact(artifact)


def test_wrong_kind(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match="'statistics' file, expected 'mask'"):
        read_artifact(artifact, "mask")


def test_foreign_file(tmp_path: Path) -> None:
    for number, metadata in enumerate(
        [None, {"format": "pt"}, {"speu": '{"format": "other"}'}, {"speu": "[]"}]
    ):
        path = tmp_path / str(number)
        save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(ArtifactError, match="was not written by speu"):
            read_artifact(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_non_finite_tensor(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {"fisher/a": torch.tensor([0.0, value], dtype=dtype)}
    write_artifact(tmp_path / "bad", "statistics", {}, tensors, force=False)
    with pytest.raises(ArtifactError, match="tensor 'fisher/a' holds NaN or infinity"):
        read_artifact(tmp_path / "bad")


@pytest.mark.parametrize(
    "old",
    ['"fisher/a":', '"__metadata__":', '"speu":', '"dtype":'],
)
def test_a_name_that_is_there_twice(old: str, artifact: Path) -> None:
    """The library takes the last one and says nothing."""
    header, payload = header_of(artifact)
    text = json.dumps(header, separators=(",", ":"))
    start = text.index(old)
    value, _ = json.JSONDecoder().raw_decode(text, start + len(old))
    put_header(artifact, text[:start] + f"{old}{json.dumps(value)}," + text[start:], payload)
    with pytest.raises(ArtifactError, match="not readable"):
        read_artifact(artifact)


def test_a_name_that_is_twice_in_the_record(artifact: Path) -> None:
    header, payload = header_of(artifact)
    record = header["__metadata__"]["speu"]
    header["__metadata__"]["speu"] = record[:-1] + ',"kind":"statistics"}'
    put_header(artifact, json.dumps(header), payload)
    with pytest.raises(ArtifactError, match="not readable"):
        read_artifact(artifact)


def test_a_record_too_long_to_be_ours(artifact: Path) -> None:
    forge(artifact, {"note": "x" * MAX_RECORD}, {})
    with pytest.raises(ArtifactError, match="record is longer"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "metadata",
    [
        '{"speu": 3}',
        '{"speu": []}',
        '{"speu": null}',
        "[]",
        "3",
        '{"speu": "' + "[" * 5000 + '"}',
        '{"speu": "nul"}',
    ],
)
def test_metadata_of_another_form(metadata: str, tmp_path: Path) -> None:
    put_header(tmp_path / "odd", f'{{"__metadata__":{metadata}}}', b"")
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "odd")


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "3",
        "null",
        "{",
        '"text"',
        "[" * 100_000,
        '{"a":' * 100_000,
        "{" + " " * 50 + "}",
        "\0",
        "\ud800",
    ],
)
def test_header_of_another_form(header: str, tmp_path: Path) -> None:
    text = header.encode(errors="surrogatepass")
    (tmp_path / "odd").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "odd")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", '"\\ud800"', "1" * 5000])
def test_a_record_that_we_would_not_write(number: str, tmp_path: Path) -> None:
    """Python reads these as JSON, but does not write them."""
    record = f'{{"format":"speu","version":1,"kind":"statistics","value":{number},"sha256":"0"}}'
    save_file({}, tmp_path / "odd", metadata={"speu": record})
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "odd")


@pytest.mark.parametrize(
    "dtype", ["F4", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "C64", "U16", "U64", "F99"]
)
def test_other_types_of_numbers(dtype: str, tmp_path: Path) -> None:
    """Types that the library knows, but not all of torch."""
    record = json.dumps({"format": "speu", "version": 1, "kind": "statistics", "sha256": "0"})
    fields = {"__metadata__": {"speu": record}, "a": {"dtype": dtype, "shape": [8], "data_offsets": [0, 64]}}
    for size in (4, 6, 8, 16, 64):
        fields["a"]["data_offsets"] = [0, size]
        put_header(tmp_path / "odd", json.dumps(fields), bytes(size))
        with pytest.raises(ArtifactError):
            read_artifact(tmp_path / "odd")


def test_a_tensor_larger_than_the_file(artifact: Path) -> None:
    header, payload = header_of(artifact)
    header["fisher/a"]["shape"] = [2**40, 2**40]
    put_header(artifact, json.dumps(header), payload)
    with pytest.raises(ArtifactError, match="corrupt"):
        read_artifact(artifact)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        read_artifact(tmp_path / "missing")
    with pytest.raises(InputError, match="is not a file"):
        read_artifact(tmp_path)


RELAXED = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def refused(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read_artifact(path)
    except ArtifactError:
        return True
    return False


@RELAXED
@given(content=st.binary(max_size=200))
def test_random_bytes(content: bytes, tmp_path: Path) -> None:
    assert refused(tmp_path / "random", content)


@RELAXED
@given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["__metadata__", "speu", "a", "dtype", "shape", "data_offsets"]), inner
            )
        ),
        max_leaves=10,
    )
)
def test_random_headers(header: Any, tmp_path: Path) -> None:
    text = json.dumps(header).encode()
    assert refused(tmp_path / "random", len(text).to_bytes(8, "little") + text)


@RELAXED
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=5
    )
)
def test_random_damage(changes: list[tuple[int, bytes]], artifact: Path) -> None:
    original = artifact.read_bytes()
    damaged = bytearray(original)
    for position, piece in changes:
        start = position % len(damaged)
        damaged[start : start + len(piece)] = piece
    try:
        unharmed = re.sub(rb"\s", b"", bytes(damaged)) == re.sub(rb"\s", b"", original)
        assert refused(artifact, bytes(damaged)) or unharmed
    finally:
        artifact.write_bytes(original)


def test_canonical_json() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ä"}) == '{"a":"ä","b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("inf"))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {"b": tensors["a"]},
        lambda tensors: {"a": tensors["a"].double()},
        lambda tensors: {"a": tensors["a"].reshape(4, 1)},
        lambda tensors: {"a": tensors["a"].T},
        lambda tensors: {"a": tensors["a"] + torch.eye(2) * 1e-6},
        lambda tensors: {**tensors, "b": torch.zeros(0)},
    ],
    ids=["name", "type", "shape", "order", "a bit", "one more"],
)
def test_hash_of_tensors_sees(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    tensors = {"a": torch.arange(4.0).reshape(2, 2)}
    assert hash_tensors(change(tensors)) != hash_tensors(tensors)


def test_hash_of_tensors_does_not_see_strides_or_order() -> None:
    a, b = torch.arange(4.0).reshape(2, 2), torch.ones(1)
    assert hash_tensors({"a": a, "b": b}) == hash_tensors({"b": b, "a": a.T.contiguous().T})
