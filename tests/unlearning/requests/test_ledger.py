"""The ledger: what is appended is read; what is changed, cut or moved is found; a torn end never happened."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speu_cli.errors import ArtifactError, InputError
from speu_cli.unlearning.requests.ledger import (
    NOTHING_BEFORE,
    BrokenLedgerError,
    Ledger,
    create_ledger,
    read_ledger,
)

RECORDS = [{"kind": "start", "mode": "aided"}, {"kind": "request", "id": "R-1 ü", "loss": 0.25}, {"count": 3}]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three entries."""
    made = create_ledger(tmp_path / "ledger.jsonl")
    for record in RECORDS:
        made = made.append(record)
    return made


def test_it_reads_back_what_was_appended(ledger: Ledger) -> None:
    read = read_ledger(ledger.path)
    assert [entry.record for entry in read.entries] == RECORDS
    assert [entry.number for entry in read.entries] == [0, 1, 2]
    assert [entry.previous for entry in read.entries] == [
        NOTHING_BEFORE,
        *(e.sha256 for e in read.entries[:-1]),
    ]
    assert (read.head, read.end, read.torn) == (ledger.head, ledger.path.stat().st_size, 0)


def test_an_empty_ledger_has_a_head_of_zeros(tmp_path: Path) -> None:
    create_ledger(tmp_path / "ledger")
    assert read_ledger(tmp_path / "ledger").head == NOTHING_BEFORE


def test_a_ledger_is_made_once(ledger: Ledger) -> None:
    with pytest.raises(FileExistsError):
        create_ledger(ledger.path)
    assert len(read_ledger(ledger.path).entries) == len(RECORDS)


def test_a_missing_ledger_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ledger"):
        read_ledger(tmp_path / "ledger")


def test_the_fields_of_the_chain_cannot_be_given(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="previous"):
        ledger.append({"previous": NOTHING_BEFORE})
    assert read_ledger(ledger.path).head == ledger.head


def test_every_bit_flip_is_found_or_leaves_a_torn_end(ledger: Ledger) -> None:
    """Only the last line break can be lost without a refusal, and then the entry before it never happened."""
    content = ledger.path.read_bytes()
    for place in range(len(content)):
        ledger.path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if place == len(content) - 1:
            assert len(read_ledger(ledger.path).entries) == len(RECORDS) - 1
        else:
            with pytest.raises(ArtifactError):
                read_ledger(ledger.path)


def test_cut_anywhere_it_holds_the_whole_entries_before_the_cut(ledger: Ledger) -> None:
    content = ledger.path.read_bytes()
    for length in range(len(content)):
        ledger.path.write_bytes(content[:length])
        read = read_ledger(ledger.path)
        assert len(read.entries) == content[:length].count(b"\n")
        assert read.end + read.torn == length


def test_after_a_torn_end_the_next_entry_takes_its_place(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"format":"speu-led')
    read_ledger(ledger.path).append({"kind": "request"})
    read = read_ledger(ledger.path)
    assert [entry.record for entry in read.entries] == [*RECORDS, {"kind": "request"}]
    assert read.torn == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: lines[1:], "follows"),
        (lambda lines: [lines[0], lines[2]], "follows"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "follows"),
        (lambda lines: [lines[0], lines[1].replace(b"0.25", b"0.26"), lines[2]], "changed"),
        (lambda lines: [lines[0].replace(b":", b": "), *lines[1:]], "changed"),
        (lambda lines: [b"[]\n", *lines[1:]], "not an entry"),
        (lambda lines: [b'{"a": "\\ud800", "version": 1, "sha256": "", "previous": ""}\n'], "not an entry"),
        (lambda lines: [b"[" * 100_000 + b"\n"], "not an entry"),
    ],
)
def test_a_changed_chain_is_refused_with_the_line(
    ledger: Ledger, change: Callable[[list[bytes]], list[bytes]], why: str
) -> None:
    ledger.path.write_bytes(b"".join(change(ledger.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(BrokenLedgerError, match=rf"line \d: .*{why}"):
        read_ledger(ledger.path)


def test_a_newer_version_is_named(ledger: Ledger) -> None:
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(ArtifactError, match="version 2, this speu reads version 1"):
        read_ledger(ledger.path)


@pytest.mark.parametrize("failing", ["fsync", "space"])
def test_a_failed_append_leaves_the_file_as_it_was(
    ledger: Ledger, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger.path.read_bytes()
    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr(os, "fsync", _fail)
            with pytest.raises(OSError, match="no space"):
                ledger.append({"kind": "request"})
        else:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
            try:
                with pytest.raises(OSError, match="too large"):
                    ledger.append({"kind": "request"})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ledger.path.read_bytes() == before
    assert len(read_ledger(ledger.path).append({"kind": "request"}).entries) == len(RECORDS) + 1


def _fail(_: int) -> None:
    raise OSError("no space")


@given(st.binary(max_size=300))
def test_no_bytes_give_anything_but_a_ledger_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "ledger"
    path.write_bytes(content)
    if b"\n" in content:
        with pytest.raises(ArtifactError):
            read_ledger(path)
    else:
        assert read_ledger(path).torn == len(content)
