"""Damaged files, drawn by hypothesis; `make fuzz` looks further, guided by what code they reach."""

import os
from pathlib import Path

import pytest
from fuzz.targets import LINES, Target, targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ARTIFACTS = [
    *("statistics", "mask.safetensors", "entry-mask.safetensors"),
    *("reference.safetensors", "forgotten", "watched.safetensors"),
]
NAMES = [*LINES, *ARTIFACTS, "ledger.jsonl", "state.json", "pending.json", "salt", "evaluation.json"]
WITHOUT_FIXTURE_CHECK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """All readers."""
    return targets(tmp_path_factory.mktemp("seeds"))


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[float, int, bytes]]:
    """Where, how much is cut out, and what is put in."""
    return draw(
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=20) | st.sampled_from(ODD)),
            min_size=1,
            max_size=4,
        )
    )


ODD = [
    b'"',
    b"\\",
    b"\n",
    b"\r",
    b"\x00",
    b"{",
    b"[" * 2000,
    b"NaN",
    b"1e999",
    b"\xff",
    b"\xed\xa0\x80",
    b"-",
]


def damaged(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, cut, put in changes:
        at = int(place * len(content))
        content = content[:at] + put + content[at + cut :]
    return content


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_refused(readers: dict[str, Target], name: str, tmp_path: Path) -> None:
    target, path = readers[name], tmp_path / name
    assert all(target.reads(path, seed) for seed in target.seeds)

    @WITHOUT_FIXTURE_CHECK
    @given(st.sampled_from(target.seeds), damages())
    def check(seed: bytes, changes: list[tuple[float, int, bytes]]) -> None:
        content = damaged(seed, changes)
        read = target.reads(path, content)
        assert not (read and name in ARTIFACTS and content != seed)

    check()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_cut_short_anywhere_is_refused(
    readers: dict[str, Target], name: str, tmp_path: Path
) -> None:
    target, path = readers[name], tmp_path / name
    [seed] = target.seeds
    path.write_bytes(seed)
    for length in reversed(range(len(seed))):
        os.truncate(path, length)
        assert not target.reads_file(path), length


# The header of a mask with entries is that of any mask, and longer.
@pytest.mark.parametrize("name", [name for name in ARTIFACTS if name != "entry-mask.safetensors"])
def test_an_artifact_with_any_byte_of_the_header_flipped_is_refused(
    readers: dict[str, Target], name: str, tmp_path: Path
) -> None:
    target, path = readers[name], tmp_path / name
    [seed] = target.seeds
    for place in range(8 + int.from_bytes(seed[:8], "little")):
        for bit in (1, 128):
            content = seed[:place] + bytes([seed[place] ^ bit]) + seed[place + 1 :]
            assert not target.reads(path, content), (place, bit)
