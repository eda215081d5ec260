import errno
import itertools
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speu_cli.artifacts.atomic import atomic_file, atomic_folder, check_output
from speu_cli.errors import InputError, LockedError, OutputExistsError, ResourceError, SpeuError

CRASH = Path(__file__).with_name("crash.py")


def write_file(target: Path, content: bytes = b"new", *, force: bool = True) -> None:
    with atomic_file(target, force=force) as path:
        path.write_bytes(content)


def write_folder(target: Path, content: bytes = b"new", *, force: bool = True) -> None:
    with atomic_folder(target, force=force) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(content)


def old_file(target: Path) -> None:
    target.write_bytes(b"old")


def old_folder(target: Path) -> None:
    target.mkdir()
    (target / "stale").write_bytes(b"old")


def content(target: Path) -> dict[str, bytes]:
    """All files of a folder, or the one file, by path below the target."""
    paths = target.rglob("*") if target.is_dir() else [target]
    return {str(path.relative_to(target)): path.read_bytes() for path in paths if path.is_file()}


def leftovers(target: Path) -> list[str]:
    return [
        path.name
        for path in target.parent.iterdir()
        if path != target and path.name != f".{target.name}.lock"
    ]


Write = Callable[..., None]
Make = Callable[[Path], None]
BOTH = pytest.mark.parametrize(
    ("make", "write"), [(old_file, write_file), (old_folder, write_folder)], ids=["file", "folder"]
)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@BOTH
def test_new_content_takes_the_place_of_the_old(make: Make, write: Write, tmp_path: Path) -> None:
    make(tmp_path / "target")
    write(tmp_path / "target")
    assert set(content(tmp_path / "target").values()) == {b"new"}
    assert leftovers(tmp_path / "target") == []


@BOTH
def test_a_failure_leaves_the_old_content(make: Make, write: Write, tmp_path: Path) -> None:
    target = tmp_path / "target"
    make(target)
    atomic = atomic_file if write is write_file else atomic_folder
    with pytest.raises(RuntimeError, match="halfway"), atomic(target, force=True) as path:
        (path if write is write_file else path / "file").write_bytes(b"ne")
        raise RuntimeError("halfway")
    assert set(content(target).values()) == {b"old"}
    assert leftovers(target) == []


@BOTH
def test_a_failure_leaves_nothing_where_nothing_was(make: Make, write: Write, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(TypeError):
        write(target, "not bytes")
    assert not target.exists()
    assert leftovers(target) == []


@BOTH
def test_existing_output_is_kept_without_force(make: Make, write: Write, tmp_path: Path) -> None:
    target = tmp_path / "target"
    make(target)
    with pytest.raises(OutputExistsError, match="target"):
        write(target, force=False)
    assert set(content(target).values()) == {b"old"}
    assert leftovers(target) == []


@BOTH
def test_output_that_appears_meanwhile_is_kept(make: Make, write: Write, tmp_path: Path) -> None:
    target = tmp_path / "target"
    atomic = atomic_file if write is write_file else atomic_folder
    with pytest.raises(OutputExistsError), atomic(target) as path:
        (path if write is write_file else path / "file").write_bytes(b"new")
        make(target)
    assert set(content(target).values()) == {b"old"}
    assert leftovers(target) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_killed_at_random_moments(kind: str, tmp_path: Path) -> None:
    found = crash("moments", kind, tmp_path / "target", 40)
    # A folder is replaced by two renames: between them it is beside its place, until the next run.
    assert set(found["after_kill"]) <= ({"a", "b"} if kind == "file" else {"a", "b", "absent"})
    assert found["hidden"] > 0, "no kill hit a writer at work"
    assert (found["last"], found["leftovers"]) == ("c", [])


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        # flush, mode, | rename, flush of the folder
        ("file", ["a"] * 3 + ["b"] * 2),
        # mode and flush of each file, flush, | two renames, flush of the folder above, rename of the old one
        ("folder", ["a"] * 8 + ["absent"] + ["b"] * 3),
    ],
)
def test_killed_before_each_call(kind: str, states: list[str], tmp_path: Path) -> None:
    found = crash("calls", kind, tmp_path / "target")
    assert found["after_kill"] == states
    assert (found["last"], found["leftovers"]) == ("c", [])


def crash(*arguments: object) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, CRASH, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.mark.parametrize("fails", [True, False], ids=["failing run", "successful run"])
def test_a_folder_killed_between_its_renames_is_put_back(tmp_path: Path, fails: bool) -> None:
    target = tmp_path / "target"
    old_folder(tmp_path / ".target.123.old")
    old_folder(tmp_path / ".target.123.tmp")
    with pytest.raises(OutputExistsError if fails else ZeroDivisionError), atomic_folder(target) as folder:
        assert content(target) == {"stale": b"old"}
        (folder / "file").write_bytes(b"new")
        if not fails:
            raise ZeroDivisionError
    assert content(target) == {"stale": b"old"}
    assert leftovers(target) == []


def test_a_file_written_inside_leaves_no_lock(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "target") as folder:
        write_file(folder / "file")
    assert content(tmp_path / "target") == {"file": b"new"}


def test_only_own_leftovers_are_swept(tmp_path: Path) -> None:
    """``model.v2`` has a run of its own, whose unfinished folder looks much like ours."""
    others = [
        ".model.v2.7.tmp",
        ".model.v2.7.old",
        ".model.tmp",
        ".models.7.tmp",
        ".model.7.tmp.txt",
        "model.7.tmp",
    ]
    for name in (*others, ".model.7.tmp"):
        (tmp_path / name).mkdir()
    write_folder(tmp_path / "model")
    assert sorted(leftovers(tmp_path / "model")) == sorted(others)


@BOTH
@pytest.mark.parametrize("name", ["fsync", "replace", "rename", "chmod", "open"])
def test_each_call_may_fail(
    make: Make, write: Write, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th call fails, for n = 1, 2, … until a run makes fewer than n."""
    failures = 0
    for n in range(1, 40):
        target = tmp_path / f"target-{n}"
        make(target)
        with monkeypatch.context() as patched:
            calls = fail_at(patched, name, n)
            try:
                write(target)
            except OSError:
                failures += 1
                # The flush of the folder above comes last: the new content is in place by then.
                assert set(content(target).values()) in ({b"old"}, {b"new"})
            else:
                assert set(content(target).values()) == {b"new"}
            if next(calls) <= n:
                break
        write(target)
        assert set(content(target).values()) == {b"new"}
        assert not [path for path in tmp_path.glob(f".target-{n}.*") if path.suffix != ".lock"]
    else:
        pytest.fail("never got through")
    # rename moves folders, replace files; every other call is made in both
    assert failures > 0 or name == ("rename" if write is write_file else "replace")


def fail_at(patched: pytest.MonkeyPatch, name: str, n: int) -> Iterator[int]:
    """Let the n-th call of a function in ``os`` fail; the iterator counts the calls, itself included."""
    real, calls = getattr(os, name), itertools.count(1)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n:
            raise OSError(errno.EIO, "injected")
        return real(*args, **kwargs)

    patched.setattr(os, name, failing)
    return calls


@BOTH
def test_full_disk(make: Make, write: Write, tmp_path: Path) -> None:
    """The largest file that a process may write stands in for a disk that is full."""
    target = tmp_path / "target"
    make(target)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write(target, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(content(target).values()) == {b"old"}
    assert leftovers(target) == []


@BOTH
def test_one_writer_at_a_time(make: Make, write: Write, tmp_path: Path) -> None:
    target = tmp_path / "target"
    make(target)
    atomic = atomic_file if write is write_file else atomic_folder
    with atomic(target, force=True) as first:
        (first if write is write_file else first / "file").write_bytes(b"first")
        with pytest.raises(LockedError, match="another run"):
            write(target, b"second")
    assert set(content(target).values()) == {b"first"}
    write(target, b"third")
    assert set(content(target).values()) == {b"third"}


def test_another_process_holds_the_lock_until_it_dies(tmp_path: Path) -> None:
    target = tmp_path / "target"
    script = (
        "import sys, time; from pathlib import Path; from speu_cli.artifacts.atomic import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as path: path.touch(); print('here', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, target], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        with pytest.raises(LockedError):
            write_file(target)
        assert len(leftovers(target)) == 1, "the other run's file was swept away"
    finally:
        other.kill()
        other.communicate()
    write_file(target)
    assert target.read_bytes() == b"new"
    assert leftovers(target) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_follow_the_umask(mask: int, mode: int, tmp_path: Path, umask: Callable[[int], int]) -> None:
    umask(mask)
    write_file(tmp_path / "file")
    write_folder(tmp_path / "folder")
    for path in (tmp_path / "file", tmp_path / "folder" / "inner" / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    old_file(tmp_path / "file")
    (tmp_path / "file").chmod(0o640)
    write_file(tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@BOTH
def test_a_symbolic_link_is_followed(make: Make, write: Write, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    make(tmp_path / "there" / "target")
    link = tmp_path / "link"
    link.symlink_to("there/target")
    write(link)
    assert link.is_symlink()
    assert set(content(tmp_path / "there" / "target").values()) == {b"new"}
    assert leftovers(tmp_path / "there" / "target") == []


def test_a_link_to_nothing_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_file(tmp_path / "link", force=False)
    assert (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["/dev/null", "/", "fifo", "loop", "x" * 250, "missing/target", "file/x"])
@pytest.mark.parametrize("write", [write_file, write_folder])
def test_odd_places_are_refused(write: Write, name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    device = stat.S_IFMT(os.stat("/dev/null").st_mode)
    with pytest.raises(InputError):
        write(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_IFMT(os.stat("/dev/null").st_mode) == device


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """As ``-o /dev/stdout`` in a pipeline, or ``-o >(cmd)``, would be."""
    ends = os.pipe()
    try:
        with pytest.raises(InputError, match="neither a regular file nor a folder"):
            write_file(Path(f"/dev/fd/{ends[1]}"))
    finally:
        os.close(ends[0])
        os.close(ends[1])


@pytest.mark.parametrize(("make", "write"), [(old_file, write_folder), (old_folder, write_file)])
def test_the_other_kind_is_refused(make: Make, write: Write, tmp_path: Path) -> None:
    make(tmp_path / "target")
    with pytest.raises(InputError, match="expected a f"):
        write(tmp_path / "target")
    assert set(content(tmp_path / "target").values()) == {b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@BOTH
def test_read_only_folder(make: Make, write: Write, tmp_path: Path) -> None:
    make(tmp_path / "target")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ResourceError, match="permission"):
            write(tmp_path / "target")
    finally:
        tmp_path.chmod(0o755)
    assert set(content(tmp_path / "target").values()) == {b"old"}


def test_no_permission_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(ResourceError, match="permission"):
        check_output(tmp_path / "target", force=False)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("target", ["data/rows.jsonl", "data", "link"])
def test_an_input_is_never_replaced(target: str, force: bool, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = tmp_path / "data" / "rows.jsonl"
    rows.write_bytes(b"rows")
    (tmp_path / "link").symlink_to(rows)
    with pytest.raises(InputError, match="would replace the input"):
        check_output(tmp_path / target, force=force, inputs=[None, "-", str(rows)])


def test_what_lies_beside_an_input_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    check_output(tmp_path / "model" / "fisher.safetensors", force=False, inputs=[tmp_path / "model"])
    old_file(tmp_path / "model" / "fisher.safetensors")
    with pytest.raises(SpeuError) as caught:
        check_output(tmp_path / "model" / "fisher.safetensors", force=False, inputs=[tmp_path / "model"])
    assert caught.value.exit_code == OutputExistsError.exit_code
    with pytest.raises(InputError, match="would replace a file of the input"):
        check_output(tmp_path / "model" / "fisher.safetensors", force=True, inputs=[tmp_path / "model"])
