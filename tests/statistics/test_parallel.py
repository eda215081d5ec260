"""Several processes at one pass: what they sum to, and what the user hears when one of them is lost."""

import runpy
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch import distributed as dist

from forks import Ended, Script, run_group
from laws import PARTS
from speu_cli.errors import InputError, ResourceError
from speu_cli.statistics.joining import joined
from speu_cli.statistics.parallel import Group

JOINED = Path(__file__).with_name("joined.py")
EXACT = 1e-10
COUNT = 17
ENVIRONMENT = (
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_USE_AGENT_STORE",
)


@pytest.fixture(autouse=True)
def without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def run(folder: Path, size: int, *what: object, count: int = COUNT, agent: bool = True) -> Ended:
    arguments = (str(folder), str(count), *map(str, what))
    return run_group(folder / "streams", *[Script(JOINED, arguments)] * size, agent=agent)


def sums_in(folder: Path) -> Path:
    return folder / "sums.safetensors"


def alone(folder: Path, count: int) -> dict[str, Tensor]:
    """What one process computes that torchrun has not started."""
    runpy.run_path(str(JOINED))["main"](folder, count)
    return load_file(sums_in(folder))


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor], part: str) -> float:
    names = [name for name in expected if name.partition("/")[0] == part]
    scale = max(float(expected[name].abs().max()) for name in names)
    assert scale > 0
    return max(float((found[name] - expected[name]).abs().max()) for name in names) / scale


@pytest.mark.parametrize(("size", "count"), [(2, COUNT), (3, COUNT), (3, 2)], ids=str)
def test_processes_sum_to_what_one_does_and_one_may_have_no_examples(
    size: int, count: int, tmp_path: Path
) -> None:
    for name in ("alone", "group"):
        (tmp_path / name).mkdir()
    expected = alone(tmp_path / "alone", count)
    ended = run(tmp_path / "group", size, count=count)
    assert (ended.codes, ended.told) == ([0] * size, [])
    found = load_file(sums_in(tmp_path / "group"))
    assert found.keys() == expected.keys()
    assert int(found["count"]) == count
    for part in (*PARTS, "losses"):
        assert largest_difference(found, expected, part) < EXACT
    # Rows of sampled examples, wherever they were computed, stand in the order of their keys.
    assert torch.equal(found["sampled"], expected["sampled"])
    assert found["sampled"].tolist() == sorted(found["sampled"].tolist())
    assert len(found["sampled"]) == len(range(0, count, 3))
    for part in ("mask_rows", "directions"):
        assert largest_difference(found, expected, part) < EXACT
    assert torch.equal(found["direction_weights"], expected["direction_weights"])
    assert float(found["direction_weights"].sum()) == len(found["sampled"])


@pytest.mark.parametrize(
    ("moment", "rank", "agent"),
    [
        ("start", 2, True),
        ("pass", 1, True),
        ("sum", 1, True),
        ("pass", 0, True),
        ("pass", 0, False),  # the store dies with it
        ("sum", 2, False),
    ],
)
def test_a_process_that_dies_is_named_once_and_nothing_is_written(
    moment: str, rank: int, agent: bool, tmp_path: Path
) -> None:
    ended = run(tmp_path, 3, "die", moment, rank, agent=agent)
    expected = [ResourceError.exit_code] * 3
    expected[rank] = -signal.SIGKILL
    assert ended.codes == expected
    assert ended.told == [f"ResourceError: process {rank + 1} of 3 (rank {rank}) did not finish"]
    assert not sums_in(tmp_path).exists()


@pytest.mark.parametrize(
    ("moment", "rank", "agent"), [("pass", 1, True), ("start", 0, True), ("sum", 2, True), ("pass", 2, False)]
)
def test_of_an_error_one_process_tells(moment: str, rank: int, agent: bool, tmp_path: Path) -> None:
    ended = run(tmp_path, 3, "fail", moment, rank, agent=agent)
    assert ended.told == ["ArtifactError: this process fails"]
    assert ended.codes[rank] == 4
    assert None not in ended.codes and 0 not in ended.codes
    assert not sums_in(tmp_path).exists()


def test_processes_that_see_other_data_are_refused_by_their_numbers(tmp_path: Path) -> None:
    ended = run(tmp_path, 3, "differ", "start", 1)
    assert ended.codes == [4, 4, 4]
    assert ended.told == ["ArtifactError: process 2 of 3 (rank 1) found other data than process 1"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set, but: .*RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE is set, but: .*MASTER_ADDR"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many'"),
    ],
)
def test_half_an_environment_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message), joined("cpu"):
        pytest.fail("joined a group")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Connection closed by peer", ResourceError),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes", RuntimeError),
    ],
)
def test_a_lack_of_memory_is_not_taken_for_a_lost_connection(
    message: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(Group, "wait", lambda _: None)
    monkeypatch.setattr(dist, "reduce", failing)
    with pytest.raises(error, match=message.partition(":")[0]) as raised:
        Group(0, 2, "cpu").sum_tensor(torch.zeros(1))
    assert isinstance(raised.value, ResourceError) == (error is ResourceError)
