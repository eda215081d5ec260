"""Shards put together: the file of the undivided run, or a refusal that writes nothing."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

import speu_cli
from memorised import TRAIN, Home, memorised, snapshot
from speu_cli import ArtifactError, InputError, OutputExistsError
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.cli.main import main
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.request import open_with_statistics
from speu_cli.stages.runtime import Runtime
from speu_cli.statistics import wanted
from speu_cli.statistics.files import StatisticsFile, read_statistics
from tiny import FAMILIES, tiny_checkpoint

SINGLE = 1e-5
SHARDS = 3


@pytest.fixture(scope="module", params=FAMILIES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return memorised(tmp_path_factory.mktemp("home"), request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With the shards of one run in its folder."""
    home = memorised(tmp_path_factory.mktemp("bert"))
    divided(home, home.folder)
    return home


def compute(home: Home, output: Path, **options: Any) -> None:
    options = {"holdout": home.path("dev.jsonl")} | options
    speu_cli.fisher(home.model, home.path("train.jsonl"), output, **options)


def divided(home: Home, folder: Path, of: int = SHARDS, **options: Any) -> list[Path]:
    paths = [folder / f"shard-{index}" for index in range(1, of + 1)]
    for index, path in enumerate(paths, start=1):
        compute(home, path, shard=f"{index}/{of}", **options)
    return paths


def sample_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let them, 24 a layer, count as too many for B; the heads are not."""
    monkeypatch.setattr(wanted.Wanted, "is_sampled", lambda _, units: units > 10)


def assert_same_file(one: Path, other: Path) -> None:
    """Sums up to rounding, all else exactly."""
    mine, theirs = read_artifact(one, "statistics"), read_artifact(other, "statistics")
    assert {**mine.record, "sha256": ""} == {**theirs.record, "sha256": ""}
    assert mine.tensors.keys() == theirs.tensors.keys()
    scales: dict[str, float] = {}
    for name, tensor in theirs.tensors.items():
        part = name.partition("/")[0]
        scales[part] = max(scales.get(part, 0.0), *tensor.flatten().float().abs().tolist(), 0.0)
    for name, tensor in theirs.tensors.items():
        assert mine.tensors[name].dtype == tensor.dtype, name
        if not tensor.is_floating_point():
            assert torch.equal(mine.tensors[name], tensor), name
        else:
            scale = scales[name.partition("/")[0]]
            difference = (mine.tensors[name] - tensor).abs()
            assert float(difference.max()) <= SINGLE * scale, name
            assert float(difference.median()) <= SINGLE / 10 * scale, name


# In the last case there are fewer examples in the sample than shards: some have none of them.
@pytest.mark.parametrize("what", ["structures", "all", "only-mask", "mask", "sampled", "hardly-sampled"])
def test_merged_shards_are_the_undivided_run(
    what: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {"structures": {}, "all": {"scope": "all"}, "only-mask": {"only": "mask"}}
    choice: dict[str, Any] = dict(choices.get(what, {}))
    if what == "mask":
        compute(home, tmp_path / "all-of-it")
        speu_cli.mask(home.model, tmp_path / "all-of-it", tmp_path / "mask", sparsity=0.5)
        choice = {"mask": tmp_path / "mask"}
    if "sampled" in what:
        sample_filters(monkeypatch)
        choice = {"sample": 12 if what == "sampled" else 2}
    most = None if what == "structures" else 30
    options = {"collection": CollectionChoice(**choice), "max_examples": most}
    compute(home, tmp_path / "whole", **options)
    result = speu_cli.merge(divided(home, tmp_path, **options), tmp_path / "merged")
    assert_same_file(tmp_path / "merged", tmp_path / "whole")
    assert (result.shards, result.used) == (SHARDS, most or TRAIN)
    assert result.sha256 == read_artifact(tmp_path / "merged").record["sha256"]


def test_the_order_of_shards_does_not_change_a_byte(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    for name, order in (("one", shards), ("other", [shards[2], shards[0], shards[1]])):
        speu_cli.merge(order, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_run_in_one_shard_is_the_whole(bert: Home, tmp_path: Path) -> None:
    compute(bert, tmp_path / "whole")
    speu_cli.merge(divided(bert, tmp_path, of=1), tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_request_is_served_from_the_merged_file(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    speu_cli.merge(shards, tmp_path / "merged")
    compute(bert, tmp_path / "whole")
    data, forget = bert.path("train.jsonl"), bert.path("ids.txt")
    for name in ("merged", "whole"):
        speu_cli.unlearn(bert.model, tmp_path / name, data, forget, tmp_path / f"{name}-model", sparsity=0.5)
    masks = [
        read_artifact(tmp_path / f"{name}-model" / "speu-mask.safetensors") for name in ("merged", "whole")
    ]
    for name, tensor in masks[1].tensors.items():
        assert torch.allclose(masks[0].tensors[name].float(), tensor.float(), rtol=1e-4), name
    with pytest.raises(ArtifactError, match="shard 2 of 3"):
        open_with_statistics(bert.model, shards[1], speu_cli.DataChoice(), Runtime())


def refused(
    shards: list[Path], folder: Path, error: type[speu_cli.SpeuError], match: str, **options: Any
) -> None:
    before = snapshot(folder)
    with pytest.raises(error, match=match) as caught:
        speu_cli.merge(shards, folder / "merged", **options)
    assert "\n" not in str(caught.value) and caught.value.hint
    assert snapshot(folder) == before


def test_missing_and_doubled_shards_are_named(bert: Home, tmp_path: Path) -> None:
    one, two, three = (bert.folder / f"shard-{index}" for index in (1, 2, 3))
    refused([two], tmp_path, InputError, "got 1 of the 3 shards of the run, expected all: 1, 3 missing")
    refused([one, two, two], tmp_path, InputError, "shard 2/3 is there twice, as .*shard-2 and as .*shard-2")
    refused([three, one, three], tmp_path, InputError, "shard 3/3 is there twice")
    many = tmp_path / "of-many"
    change(three, many, record={"shard": {"index": 5, "of": 1_000_000_000}})
    refused([many], tmp_path, InputError, "1-4, 6-1000000000 missing")


def change(source: Path, target: Path, *, record: dict[str, Any] | None = None, **tensors: Any) -> None:
    """Write an artifact again with other content, its digest in order."""
    artifact = read_artifact(source)
    kept = {
        key: value for key, value in artifact.record.items() if key not in {"sha256", "format", "version"}
    }
    changed = {
        name: tensors.get(name.replace("/", "__"), tensor) for name, tensor in artifact.tensors.items()
    }
    write_artifact(target, kept.pop("kind"), kept | (record or {}), changed, force=True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 1, "max_examples": 30}, "seed"),
        ({"collection": CollectionChoice(scope="all")}, "collected scope"),
        ({"collection": CollectionChoice(only="mask")}, "collected parameters"),
        ({"choice": speu_cli.DataChoice(max_length=5)}, "encoding max_length"),
        ({"max_examples": 30}, "number of examples in all shards"),
        ({"shard": "2/4"}, "number of shards"),
        ({"holdout": None}, "number of held-out examples"),
        ({"exclude": "ids.txt"}, "data"),
    ],
)
def test_shards_of_other_options_are_refused(
    options: dict[str, Any], named: str, bert: Home, tmp_path: Path
) -> None:
    if "exclude" in options:
        options = {"exclude": bert.path("ids.txt")}
    if named == "seed":
        compute(bert, tmp_path / "one", shard="1/3", max_examples=30)
    else:
        (tmp_path / "one").write_bytes((bert.folder / "shard-1").read_bytes())
    compute(bert, tmp_path / "two", **{"shard": "2/3", **options})
    shards = [tmp_path / "one", tmp_path / "two"]
    refused(shards, tmp_path, ArtifactError, f"two is of another run than .*one: its {named} (is|are) ")


def test_shards_of_another_model_are_refused(bert: Home, tmp_path: Path) -> None:
    other = tiny_checkpoint(tmp_path / "model", seed=1)
    train, dev = bert.path("train.jsonl"), bert.path("dev.jsonl")
    speu_cli.fisher(other, train, tmp_path / "two", holdout=dev, shard="2/3")
    refused([bert.folder / "shard-1", tmp_path / "two"], tmp_path, ArtifactError, "its model weights are")


def test_shards_with_the_same_examples_are_refused(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    first, second = (read_artifact(path) for path in shards[:2])
    assert int(first.tensors["used"].sum()) == int(second.tensors["used"].sum())
    change(shards[1], tmp_path / "two", used=first.tensors["used"])
    refused(
        [shards[0], tmp_path / "two", shards[2]], tmp_path, ArtifactError, "in the sums of other shards too"
    )


def test_shards_without_some_examples_of_the_run_are_refused(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    artifact = read_artifact(shards[1])
    used = artifact.tensors["used"].clone()
    used[used.nonzero()[0]] = False
    data = artifact.record["data"] | {"used": int(used.sum())}
    of_used = {name: artifact.tensors[name][1:].clone() for name in ("losses", "strata")}
    change(shards[1], tmp_path / "two", record={"data": data}, used=used, **of_used)
    refused(
        [shards[0], tmp_path / "two", shards[2]],
        tmp_path,
        ArtifactError,
        f"have {TRAIN - 1} examples in their sums, expected the {TRAIN} of the run",
    )


def test_shards_of_several_samples_are_refused(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_filters(monkeypatch)
    shards = divided(bert, tmp_path, of=2, collection=CollectionChoice(only="mask", sample=30))
    compute(bert, tmp_path / "few", shard="2/2", collection=CollectionChoice(only="mask", sample=10))
    found = len(read_statistics(tmp_path / "few").statistics.sampled)
    expected = r"shard-1 has \d+ examples in its sample of mask gradients, expected the \d+ of the \d+ with"
    assert 0 < found < 10
    refused([tmp_path / "few", shards[0]], tmp_path, ArtifactError, expected)


def test_shards_with_other_sums_are_refused(bert: Home, tmp_path: Path) -> None:
    """As versions of speu may be that name or cut parameters differently."""
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    name = next(name for name in read_artifact(shards[1]).tensors if name.startswith("gradient/"))
    change(shards[1], tmp_path / "two", **{name.replace("/", "__"): torch.zeros(1)})
    parameter = name.removeprefix("gradient/")
    refused(
        [shards[0], tmp_path / "two", shards[2]],
        tmp_path,
        ArtifactError,
        f"two does not have the sums of the shards before it: 'gradient' of {parameter} is",
    )


def test_a_shard_that_is_replaced_on_the_way_is_refused(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = divided(bert, tmp_path)
    other = read_artifact(bert.folder / "shard-2").tensors["holdout_losses"] * (1 + 1e-6)

    def replacing(path: Path, **settings: Any) -> StatisticsFile:
        change(shards[2], shards[2], holdout_losses=other)
        return read_statistics(path, **settings)

    monkeypatch.setattr("speu_cli.stages.merge.read_statistics", replacing)
    with pytest.raises(ArtifactError, match="shard-3 was replaced while it was merged"):
        speu_cli.merge(shards, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_one_shard_at_a_time_is_in_memory(
    bert: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier: list[weakref.ref[torch.Tensor]] = []

    def reading(path: Path, *, dtype: torch.dtype) -> StatisticsFile:
        gc.collect()
        assert [tensor for tensor in earlier if tensor() is not None] == []
        file = read_statistics(path, dtype=dtype)
        earlier.extend(weakref.ref(tensor) for tensor in file.statistics.fisher.values())
        assert {tensor.dtype for tensor in file.statistics.fisher.values()} == {torch.float32}
        return file

    monkeypatch.setattr("speu_cli.stages.merge.read_statistics", reading)
    speu_cli.merge([bert.folder / f"shard-{index}" for index in (3, 2, 1)], tmp_path / "merged")
    assert len(earlier) > SHARDS


def test_other_held_out_losses_are_refused(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    losses = read_artifact(shards[1]).tensors["holdout_losses"]
    change(shards[1], tmp_path / "two", holdout_losses=losses + 0.01)
    refused(
        [shards[0], tmp_path / "two", shards[2]], tmp_path, ArtifactError, "held-out losses differ by 0.01"
    )
    change(shards[1], tmp_path / "two", holdout_losses=losses * (1 + 1e-6))
    speu_cli.merge([shards[0], tmp_path / "two", shards[2]], tmp_path / "merged")
    assert (tmp_path / "merged").exists()


def test_other_versions_are_told_and_taken(
    bert: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    versions = {**read_artifact(shards[2]).record["versions"], "torch": "2.6.0"}
    change(shards[2], tmp_path / "three", record={"versions": versions})
    arguments = [str(path) for path in (*shards[:2], tmp_path / "three")]
    assert main(["merge", *arguments, "-o", str(tmp_path / "merged"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "different versions of torch" in printed.err and "2.6.0 (shards 3)" in printed.err
    assert json.loads(printed.out)["shards"] == 3


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("shard-1 shard-3 -o new", 2, "got 2 of the 3 shards of the run, expected all: 2 missing"),
        ("shard-1 shard-2 shard-2 -o new", 2, "shard 2/3 is there twice"),
        ("shard-1 shard-2 nowhere -o new", 2, "file not found: nowhere"),
        ("shard-1 shard-2 shard-3 -o shard-3 --force", 2, "would replace the input shard-3"),
        ("shard-1 shard-2 model/model.safetensors -o new", 4, "was not written by speu"),
        ("shard-1 shard-2 cut -o new", 4, "cut is corrupt"),
        ("shard-1 shard-2 shard-3 -o dev.jsonl", 5, "output exists: dev.jsonl"),
    ],
)
def test_the_command_ends_with_its_code_and_writes_nothing(
    words: str,
    code: int,
    told: str,
    bert: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(bert.folder)
    Path("cut").write_bytes(Path("shard-3").read_bytes()[:-100])
    before = snapshot(bert.folder)
    assert main(["merge", *words.split(), "--json"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("speu: error: ") and told in err
    assert len(err.splitlines()) <= 2
    assert snapshot(bert.folder) == before


def test_nothing_is_merged_from_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards were given"):
        speu_cli.merge([], tmp_path / "merged")


def test_a_whole_a_damaged_shard_and_an_existing_output_are_refused(bert: Home, tmp_path: Path) -> None:
    shards = [bert.folder / f"shard-{index}" for index in (1, 2, 3)]
    compute(bert, tmp_path / "whole")
    refused([tmp_path / "whole", shards[1]], tmp_path, ArtifactError, "whole is of a whole run")
    content = bytearray(shards[1].read_bytes())
    content[len(content) // 2] ^= 1  # of a sum
    (tmp_path / "damaged").write_bytes(content)
    refused([shards[0], tmp_path / "damaged", shards[2]], tmp_path, ArtifactError, "corrupt")
    (tmp_path / "merged").write_text("mine")
    refused(shards, tmp_path, OutputExistsError, "merged")
    assert (tmp_path / "merged").read_text() == "mine"
    with pytest.raises(InputError):
        speu_cli.merge([*shards[:2], tmp_path / "merged"], tmp_path / "merged", force=True)
    assert (tmp_path / "merged").read_text() == "mine"
