"""The command line as a process: signals, pipes, closed streams. The stages are fakes, the rest is real."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SPEU = [sys.executable, str(Path(__file__).with_name("fakes.py"))]
FISHER = ["fisher", "model", "--data", "d.jsonl", "-o", "out"]


def environment(**settings):
    return {**os.environ, "OMP_NUM_THREADS": "1", **settings}


def speu(*arguments, stage="", **settings):
    return subprocess.run(
        [*SPEU, *arguments],
        env=environment(FAKE_STAGE=stage, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_no_half_file(tmp_path, number, code, word):
    process = subprocess.Popen(
        [*SPEU, *FISHER],
        env=environment(FAKE_STAGE="hang", FAKE_OUTPUT=str(tmp_path / "out")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert (out, err) == ("", f"speu: error: {word}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["fisher", "--help"], ["--show-completion"]])
def test_reader_of_a_page_has_gone(arguments):
    shell = f"({' '.join([*SPEU, *arguments])}; echo rc $? >&2) | true"
    process = subprocess.run(
        ["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=False
    )
    assert process.stderr in {"rc 141\n", "rc 0\n"}  # 0 if it was written before the reader had gone


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "arguments", [["--help"], ["fisher", "--help"], ["--version"], FISHER, [*FISHER, "--json"]]
)
def test_broken_pipe_is_silent(arguments):
    writer = closed_pipe()
    try:
        process = subprocess.run(
            [*SPEU, *arguments],
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (process.returncode, process.stderr) == (141, "")


def test_head_takes_one_line_of_many():
    shell = f"set -o pipefail; {' '.join([*SPEU, 'inspect', 'f'])} | head -1"
    process = subprocess.run(
        ["bash", "-c", shell],
        env=environment(FAKE_LINES="100000"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 141
    assert process.stderr == ""
    assert process.stdout.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_no_harm(tmp_path, closed):
    shell = f"{' '.join([*SPEU, *FISHER])} {closed}"
    process = subprocess.run(
        ["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_standard_output():
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [*SPEU, *FISHER], env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.returncode == 7
    assert process.stderr.splitlines()[0] == "speu: error: no space left on device"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("InputError", 2),
        ("ArtifactError", 4),
        ("OutputExistsError", 5),
        ("LockedError", 6),
        ("ResourceError", 7),
        ("UnsafeStepError", 8),
    ],
)
def test_errors_of_a_stage(error, code):
    process = speu(*FISHER, "--json", stage="fail", FAKE_ERROR=error)
    assert process.returncode == code
    assert process.stdout == ""
    assert process.stderr == "speu: error: the message [a-z]\nhint: the hint\n"


@pytest.mark.parametrize(("error", "code"), [("disk", 7), ("memory", 7), ("bug", 70)])
def test_other_errors(error, code):
    process = speu(*FISHER, stage="fail", FAKE_ERROR=error)
    assert process.returncode == code
    assert len(process.stderr.splitlines()) == 2
    assert "Traceback" not in process.stderr


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("SPEU_DEBUG", "1")
    process = speu(*FISHER, stage="fail", FAKE_ERROR="bug")
    assert process.returncode == 70
    assert process.stderr.startswith("Traceback")
    assert "this is a bug" in process.stderr


@pytest.mark.parametrize(("rank", "lines"), [(0, 2), (1, 0)])
def test_of_a_group_the_first_process_tells_what_all_were_given(rank, lines):
    process = speu("fisher", "model", "--sparsity", "1", WORLD_SIZE="2", RANK=str(rank))
    assert (process.returncode, process.stdout) == (2, "")
    assert len(process.stderr.splitlines()) == lines


@pytest.mark.parametrize(("rank", "shown"), [(0, True), (1, False)])
def test_of_a_group_the_first_process_shows_progress(rank, shown):
    process = speu(*FISHER, "--verbose", stage="noise", WORLD_SIZE="2", RANK=str(rank))
    assert process.returncode == 0
    for what in ("chatter of the stage", "peak memory"):
        assert (what in process.stderr) == shown


def test_json_is_one_object_whatever_a_stage_prints():
    process = speu(*FISHER, "--json", stage="noise")
    assert process.returncode == 0
    assert json.loads(process.stdout)["examples"] == 1200
    assert process.stdout.count("\n") == 1


def test_libraries_are_not_heard():
    process = speu(*FISHER, stage="noise")
    assert process.stderr.splitlines() == ["chatter on standard output", "speu: chatter of the stage"]


def test_quiet_leaves_the_result():
    process = speu(*FISHER, "-q", stage="noise")
    assert process.stderr.splitlines() == ["chatter on standard output"]
    assert "examples" in process.stdout


def test_verbose_lets_libraries_through():
    process = speu(*FISHER, "-v", stage="noise")
    assert "chatter as a warning" in process.stderr
    assert "chatter in a log" in process.stderr
    assert "peak memory" in process.stderr


def test_odd_bytes_in_a_path_are_no_error(tmp_path):
    process = subprocess.run(
        [*SPEU, b"fisher", b"mod\xffel", b"--data", b"d", b"--device", b"\xff", b"-o", b"out"],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
    )
    assert process.returncode == 2
    assert b"Traceback" not in process.stderr


def test_usage_error_is_one_line_and_a_hint():
    process = speu("fisher", "--zzz")
    assert process.returncode == 2
    assert process.stderr == "speu: error: no such option: --zzz\nhint: see speu fisher --help\n"
