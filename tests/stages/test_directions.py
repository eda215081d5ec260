"""``speu fisher --directions`` and ``speu unlearn --hold-directions``, from files to files."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import speu_cli
from forks import Speu, run_group
from memorised import TRAIN, Home, memorised, snapshot
from oracles import directions as oracle
from speu_cli import ArtifactError, InputError
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.write import read_record
from speu_cli.cli.main import main
from speu_cli.data.columns import DataChoice
from speu_cli.progress import Silent
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.fisher import Keeping
from speu_cli.stages.inspect import inspect
from speu_cli.stages.request import (
    open_forget_set,
    open_request,
    open_with_statistics,
    statistics_of,
    with_directions,
)
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.statistics.directions import Directions, Kind
from speu_cli.statistics.files import read_statistics
from speu_cli.statistics.wanted import Wanted, wanted_slices

T = TypeVar("T")
SAMPLE, SHARDS = 16, 3
SINGLE = 1e-5
ASKED = CollectionChoice(directions="auto", direction_examples=SAMPLE)
OPTIONS, ARTIFACT = 2, 4


def compute(home: Home, name: str | Path, collection: CollectionChoice = ASKED, **options: Any) -> Path:
    output = home.folder / name
    options = {"holdout": home.path("dev.jsonl")} | options
    speu_cli.fisher(home.model, home.path("train.jsonl"), output, collection=collection, **options)
    return output


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With statistics with and without directions."""
    made = memorised(tmp_path_factory.mktemp("home"))
    compute(made, "held")
    compute(made, "plain", CollectionChoice())
    return made


def directions_in(path: Path) -> dict[str, Tensor]:
    tensors = read_artifact(path, "statistics").tensors
    return {name: tensor for name, tensor in tensors.items() if name.startswith("direction")}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert torch.equal(found["direction_weights"], expected["direction_weights"])
    largest = max(float(tensor.abs().max()) for name, tensor in expected.items() if "/" in name)
    assert largest > 0
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < SINGLE * largest


def unlearn(home: Home, fisher: Path, output: Path, **options: Any) -> speu_cli.UnlearnResult:
    options = {"sparsity": 0.5, "rate": 1e-4, "max_overshoot": 100} | options
    return speu_cli.unlearn(
        home.model, fisher, home.path("train.jsonl"), home.path("ids.txt"), output, **options
    )


@pytest.mark.parametrize(("outputs", "kind", "count"), [(2, "classes", 2), (9, "signs", 4), (1, "signs", 4)])
def test_auto_is_of_the_classes_where_they_are_few_and_of_signs_elsewhere(
    outputs: int, kind: Kind, count: int, tmp_path: Path
) -> None:
    home = memorised(tmp_path, outputs=outputs)
    file = read_statistics(compute(home, "f"))
    assert file.collected.directions == Directions(kind, count, SAMPLE)
    session = open_session(home.model, DataChoice(), Runtime())
    encoded = session.encode(session.read(home.path("train.jsonl")))
    members = np.argsort(file.rows)[:SAMPLE].tolist()
    model = session.checkpoint.model.double()
    sums, totals = oracle.directions(
        model, session.task, encoded, file.statistics.directions, kind, count, members
    )
    expected = {f"directions/{name}": tensor.float() for name, tensor in sums.items()}
    assert_same(directions_in(home.folder / "f"), expected | {"direction_weights": totals.float()})


@pytest.mark.parametrize(("asked", "kind"), [(2, "classes"), (3, "signs"), (1, "signs")])
def test_a_number_is_of_classes_only_where_it_is_theirs(
    home: Home, tmp_path: Path, asked: int, kind: Kind
) -> None:
    path = compute(home, tmp_path / "f", CollectionChoice(directions=asked))
    assert read_statistics(path).collected.directions == Directions(kind, asked, 1024)
    assert read_statistics(path).statistics.direction_weights.sum() == (
        TRAIN if asked == 2 else asked * TRAIN
    )


def test_without_them_nothing_of_a_file_is_of_directions(home: Home) -> None:
    plain, held = (read_artifact(home.folder / name, "statistics") for name in ("plain", "held"))
    assert "directions" not in plain.record["collected"]
    assert not directions_in(home.folder / "plain")
    rest = {name: tensor for name, tensor in held.tensors.items() if not name.startswith("direction")}
    assert rest.keys() == plain.tensors.keys()
    assert all(torch.equal(rest[name], tensor) for name, tensor in plain.tensors.items())


def test_a_file_tells_of_its_directions(home: Home) -> None:
    lines = dict(inspect(home.folder / "held").summary)
    assert lines["directions"] == f"2 of classes, of at most {SAMPLE} examples"


@pytest.mark.parametrize("most", [None, 30])
def test_merged_shards_are_the_undivided_run(home: Home, tmp_path: Path, most: int | None) -> None:
    whole = compute(home, tmp_path / "whole", max_examples=most)
    shards = [
        compute(home, tmp_path / str(index), shard=f"{index}/{SHARDS}", max_examples=most)
        for index in range(1, SHARDS + 1)
    ]
    speu_cli.merge(shards, tmp_path / "merged")
    assert_same(directions_in(tmp_path / "merged"), directions_in(whole))
    assert read_statistics(tmp_path / "merged").collected == read_statistics(whole).collected


def test_shards_with_other_directions_are_refused(home: Home, tmp_path: Path) -> None:
    with_some = compute(home, tmp_path / "1", shard="1/2")
    without = compute(home, tmp_path / "2", CollectionChoice(), shard="2/2")
    for shards, found in (
        ([with_some, without], "none, expected classes"),
        ([without, with_some], "classes, expected none"),
    ):
        with pytest.raises(ArtifactError, match=f"its collected directions kind is {found}"):
            speu_cli.merge(shards, tmp_path / "merged")
    artifact = read_artifact(with_some, "statistics")
    weights = artifact.tensors["direction_weights"]
    forged = {**artifact.tensors, "direction_weights": weights - (weights == weights.max()).float()}
    record = {k: v for k, v in artifact.record.items() if k not in {"format", "version", "kind", "sha256"}}
    write_artifact(tmp_path / "forged", "statistics", record, forged, force=False)
    other = compute(home, tmp_path / "other", shard="2/2")
    with pytest.raises(
        ArtifactError, match=f"have directions of {SAMPLE - 1} examples, expected the {SAMPLE}"
    ):
        speu_cli.merge([tmp_path / "forged", other], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_processes_write_the_file_of_one(home: Home, tmp_path: Path) -> None:
    command = (
        *("fisher", str(home.model), "--data", home.path("train.jsonl"), "-o", str(tmp_path / "group")),
        *("--directions", "auto", "--direction-examples", str(SAMPLE), "--batch-tokens", "40"),
    )
    ended = run_group(tmp_path / "streams", Speu(command), Speu(command))
    assert ended.codes == [0, 0]
    assert_same(directions_in(tmp_path / "group"), directions_in(home.folder / "held"))


class Stopped(Silent):
    """Ends the run at a batch of the directions."""

    def __init__(self, at: int) -> None:
        self._at = at

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if description == "directions" and number == self._at:
                raise KeyboardInterrupt
            yield item


@pytest.mark.parametrize("at", [0, 3])
def test_a_run_that_was_left_at_its_directions_ends_with_the_same_bytes(
    home: Home, tmp_path: Path, at: int
) -> None:
    """Law 8."""
    runtime = Runtime(batch_tokens=24)
    whole = compute(home, tmp_path / "whole", runtime=runtime)
    with pytest.raises(KeyboardInterrupt):
        compute(home, tmp_path / "left", runtime=replace(runtime, progress=Stopped(at)))
    assert (tmp_path / "left.checkpoint").exists()
    left = compute(home, tmp_path / "left", runtime=runtime, keeping=Keeping(resume=True))
    assert left.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "left.checkpoint").exists()


@pytest.mark.parametrize("sliced", [False, True])
def test_what_remains_is_the_whole_less_the_forgotten(home: Home, tmp_path: Path, sliced: bool) -> None:
    """Law 2: U_D − U_{D_f} = U_{D_r}, of those of the sample that remain."""
    collection = ASKED
    if sliced:
        speu_cli.mask(home.model, home.folder / "plain", tmp_path / "mask", sparsity=0.5)
        collection = replace(ASKED, mask=tmp_path / "mask")
    fisher = compute(home, tmp_path / "f", collection)
    session, file = open_with_statistics(home.model, fisher, DataChoice(), Runtime())
    forget = open_forget_set(
        session, file, home.path("train.jsonl"), home.path("ids.txt"), forget_examples="all", unseen_loss=None
    )
    parts: dict[str, Any] = dict.fromkeys(file.statistics.fisher)
    if sliced:
        found = file.mask(session.layout)
        assert found is not None
        parts = wanted_slices(found)
    wanted = with_directions(Wanted(parts, mask_statistics=False), file)
    remaining = open_request(session, file, forget, wanted).remaining
    sample, forgotten = wanted.directed, forget.encoded.keys
    rest = session.encode(session.read(home.path("train.jsonl")))
    members = torch.isin(rest.keys, sample) & ~torch.isin(rest.keys, forgotten)
    assert 0 < int(members.sum()) < SAMPLE
    expected = statistics_of(session, rest.select(members.nonzero()[:, 0].tolist()), wanted)
    assert torch.equal(remaining.direction_weights, expected.direction_weights)
    largest = max(float(one.abs().max()) for one in expected.directions.values())
    for name, one in expected.directions.items():
        assert float((remaining.directions[name] - one).abs().max()) < SINGLE * largest


@pytest.mark.parametrize("method", ["spe-so", "so"])
def test_a_model_that_holds_directions_is_another_and_says_so(
    home: Home, tmp_path: Path, method: str
) -> None:
    fisher = home.folder / "held"
    unlearn(home, fisher, tmp_path / "free", method=method)
    unlearn(home, home.folder / "plain", tmp_path / "plain", method=method)
    unlearn(home, fisher, tmp_path / "held", method=method, hold_directions=math.inf)
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in ("free", "plain", "held")}
    assert all(torch.equal(weights["free"][name], one) for name, one in weights["plain"].items())
    assert any(not torch.equal(weights["held"][name], one) for name, one in weights["free"].items())
    recorded = {name: read_record(tmp_path / name) for name in ("free", "held")}
    assert recorded["held"] is not None and recorded["held"]["step"]["stiffness"] == "inf"
    assert recorded["free"] is not None and "stiffness" not in recorded["free"]["step"]


def test_slices_and_whole_parameters_give_one_step(home: Home, tmp_path: Path) -> None:
    mask = tmp_path / "mask"
    speu_cli.mask(home.model, home.folder / "held", mask, sparsity=0.5)
    sliced = compute(home, tmp_path / "sliced", replace(ASKED, mask=mask))
    for name, fisher in {"one": home.folder / "held", "other": sliced}.items():
        # λ is relative to the mean of what there is, so it is left out.
        unlearn(home, fisher, tmp_path / name, mask=mask, damping=0.0, rate=1e-9, hold_directions=2.0)
    one, other, before = (
        load_file(folder / "model.safetensors")
        for folder in (tmp_path / "one", tmp_path / "other", home.model)
    )
    assert all(torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-8) for name in one)
    assert any(not torch.equal(one[name], before[name]) for name in one)


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(arguments)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--directions", "-1"], "expected auto or a whole number of at least 0"),
        (["--directions", "some"], "expected auto or a whole number of at least 0"),
        (["--directions", "33"], "expected auto or a number from 0 to 32"),
        (["--directions", "2", "--direction-examples", "0"], "of at least 1"),
        (["--directions", "auto", "--only", "mask"], "takes no --directions"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_in_a_line(
    home: Home, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fisher", str(home.model), "--data", home.path("train.jsonl"), "-o", str(tmp_path / "f")]
    code, error = told([*arguments, *options], capsys)
    assert code == OPTIONS and message in error and "Traceback" not in error
    assert not snapshot(tmp_path)


@pytest.mark.parametrize(
    ("fisher", "options", "code", "message"),
    [
        ("plain", ["--hold-directions", "1"], ARTIFACT, "holds no directions, expected some for"),
        ("held", ["--hold-directions", "0"], OPTIONS, "expected a number, or inf, above 0"),
        ("held", ["--hold-directions", "nan"], OPTIONS, "expected a number, or inf, above 0"),
        ("held", ["--hold-directions=-inf"], OPTIONS, "expected a number, or inf, above 0"),
        ("held", ["--hold-directions", "1", "--method", "ssd"], OPTIONS, "has no --hold-directions"),
        ("held", ["--hold-directions", "1", "--method", "ga"], OPTIONS, "--hold-directions is of the second"),
    ],
)
def test_holding_what_is_not_there_is_refused_in_a_line(
    home: Home,
    tmp_path: Path,
    fisher: str,
    options: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        *("unlearn", str(home.model), "--data", home.path("train.jsonl"), "--forget", home.path("ids.txt")),
        *("-o", str(tmp_path / "out"), "--fisher", str(home.folder / fisher)),
    ]
    found, error = told([*arguments, *options], capsys)
    assert found == code and message in error and "Traceback" not in error
    assert not snapshot(tmp_path)


def test_the_commands_do_what_the_functions_do(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", home.path("train.jsonl")]
    options = ["--directions", "auto", "--direction-examples", str(SAMPLE), "--batch-tokens", "16384"]
    holdout = ["--holdout", home.path("dev.jsonl")]
    assert (
        main(["fisher", str(home.model), *data, *holdout, *options, "-o", str(tmp_path / "f"), "--json"]) == 0
    )
    assert_same(directions_in(tmp_path / "f"), directions_in(home.folder / "held"))
    capsys.readouterr()
    forget = ["--forget", home.path("ids.txt"), "--fisher", str(tmp_path / "f"), "--rate", "1e-4"]
    step = ["--max-overshoot", "100", "--hold-directions", "inf", "--sparsity", "0.5"]
    assert (
        main(["unlearn", str(home.model), *data, *forget, *step, "-o", str(tmp_path / "out"), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["method"] == "spe-so"
    unlearn(home, tmp_path / "f", tmp_path / "again", hold_directions=math.inf)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again"))
    assert one == other


def test_a_stiffness_below_zero_is_refused_by_the_function(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--hold-directions is -1, expected a number above 0, or inf"):
        unlearn(home, home.folder / "held", tmp_path / "out", hold_directions=-1)
