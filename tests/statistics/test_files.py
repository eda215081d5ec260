"""Statistics files: what is written is read, and what does not fit is refused."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.checkpoints.load import Checkpoint
from speu_cli.data.columns import Columns
from speu_cli.data.shards import Shard
from speu_cli.errors import ArtifactError
from speu_cli.statistics.directions import Directions
from speu_cli.statistics.files import (
    KIND,
    Collection,
    StatisticsFile,
    check_statistics,
    peek_statistics,
    read_statistics,
    write_statistics,
)
from speu_cli.statistics.sums import Statistics
from speu_cli.structures.layout import Layout, Slice, UnitGroup
from speu_cli.structures.mask import Mask
from speu_cli.tasks.settings import EncodingSettings

UNITS, SAMPLED, ROWS, WIDTH = 6, 3, 9, 2
IDENTITY = ModelIdentity("Toy", "w" * 64, "c" * 64, "t" * 64)
WHOLE = Collection("structures", parameters=True, mask_statistics=True, mask=None, dtype="float32")


class Toy(nn.Module):
    """``out.weight`` has a column pair of each filter; ``heads.weight`` a row of each of two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.Linear(3, 2, bias=False)
        self.out = nn.Linear(UNITS * WIDTH, 4)


LAYOUT = Layout(
    (
        UnitGroup("heads", 0, 2, (Slice("heads.weight", (0,), 1),), "heads"),
        UnitGroup("filters", 0, UNITS, (Slice("out.weight", (1,), WIDTH),), "out"),
    )
)


def checkpoint() -> Checkpoint:
    return Checkpoint(Path("toy"), Toy(), None, torch.float32, IDENTITY)  # type: ignore[arg-type]


def statistics(**changes: Any) -> Statistics:
    """Sums over random gradients of all rows but one; the filters with a sample of them."""
    draw = torch.Generator().manual_seed(0)
    shapes = {name: parameter.shape for name, parameter in Toy().named_parameters() if name != "out.bias"}
    rows = {name: torch.randn(ROWS - 1, *shape, generator=draw) for name, shape in shapes.items()}
    of_mask = {key: torch.randn(ROWS - 1, n, generator=draw) for key, n in (("heads/0", 2), ("filters/0", 6))}
    whole = Statistics(
        ROWS - 1,
        fisher={name: (part**2).sum(0) for name, part in rows.items()},
        gradient={name: part.sum(0) for name, part in rows.items()},
        mask_gradient={key: part.sum(0) for key, part in of_mask.items()},
        mask_fisher={
            "heads/0": of_mask["heads/0"].T @ of_mask["heads/0"],
            "filters/0": (of_mask["filters/0"] ** 2).sum(0),
        },
        mask_rows={"filters/0": of_mask["filters/0"][:SAMPLED]},
        sampled=torch.tensor([10, 20, 30]),
    )
    return replace(whole, **changes)


def statistics_file(sums: Statistics | None = None, **changes: Any) -> StatisticsFile:
    file = StatisticsFile(
        statistics=sums or statistics(),
        rows=np.arange(1, ROWS + 1) * 10,
        used=np.arange(ROWS) != ROWS - 1,
        holdout_losses=np.array([0.5, 1.5]),
        model=IDENTITY,
        settings=EncodingSettings(
            "classification", 32, Columns(id="id", text="text", text_pair=None, label="y")
        ),
        seed=7,
        collected=WHOLE,
        planned=ROWS - 1,
        losses=np.linspace(0, 2, ROWS - 1),
        strata=np.arange(ROWS - 1) % 3,
        holdout_strata=np.array([2, 0]),
        holdout_terms=np.array([[0.25, 0.75], [1.0, 2.0]]),
    )
    return replace(file, **changes)


def only_mask(**changes: Any) -> StatisticsFile:
    collected = replace(WHOLE, parameters=False)
    return statistics_file(statistics(fisher={}, gradient={}), collected=collected, **changes)


def sliced() -> StatisticsFile:
    """F and g of filters 1 and 4 alone."""
    columns = torch.tensor([2, 3, 8, 9])
    whole = statistics()
    sums = Statistics(
        whole.count,
        fisher={"out.weight": whole.fisher["out.weight"][:, columns]},
        gradient={"out.weight": whole.gradient["out.weight"][:, columns]},
        mask_gradient={},
        mask_fisher={},
    )
    selected = {"heads/0": torch.zeros(0, dtype=torch.int64), "filters/0": torch.tensor([1, 4])}
    return statistics_file(
        sums, collected=replace(WHOLE, mask_statistics=False, mask="m" * 64), selected=selected
    )


def all_parameters() -> StatisticsFile:
    whole = statistics()
    sums = replace(
        whole,
        fisher={**whole.fisher, "out.bias": torch.ones(4)},
        gradient={**whole.gradient, "out.bias": torch.zeros(4)},
    )
    return statistics_file(sums, collected=replace(WHOLE, scope="all"))


def directed() -> StatisticsFile:
    """With a direction for each of two classes, over five examples."""
    whole = statistics()
    along = {name: torch.stack([g, -g]) for name, g in whole.gradient.items()}
    sums = replace(whole, directions=along, direction_weights=torch.tensor([2.0, 3.0]))
    return statistics_file(sums, collected=replace(WHOLE, directions=Directions("classes", 2, 5)))


def tensors_of(sums: Statistics) -> dict[str, Tensor]:
    parts = ("fisher", "gradient", "mask_gradient", "mask_fisher", "mask_rows", "directions")
    return {f"{part}/{name}": tensor for part in parts for name, tensor in getattr(sums, part).items()}


@pytest.mark.parametrize("make", [statistics_file, only_mask, sliced, all_parameters, directed])
def test_what_is_written_is_read(make: Callable[[], StatisticsFile], tmp_path: Path) -> None:
    digest = write_statistics(tmp_path / "file", make(), force=False)
    found, expected = read_statistics(tmp_path / "file"), make()
    assert found.digest == digest
    mine, theirs = tensors_of(found.statistics), tensors_of(expected.statistics)
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(mine[name].float(), tensor), name
        of_sample = name.startswith(("mask_rows/", "directions/"))
        assert mine[name].dtype == (torch.float32 if of_sample else torch.float64)
    assert torch.equal(found.statistics.sampled, expected.statistics.sampled)
    assert (found.selected or {}).keys() == (expected.selected or {}).keys()
    for key, units in (expected.selected or {}).items():
        assert torch.equal((found.selected or {})[key], units)
    for name in ("model", "settings", "seed", "collected", "planned", "shard"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("rows", "used", "holdout_losses", "strata", "holdout_strata", "holdout_terms"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert found.losses is not None
    assert np.allclose(found.losses, np.linspace(0, 2, ROWS - 1), rtol=1e-6)
    check_statistics(found, tmp_path / "file", checkpoint(), LAYOUT)


def test_a_file_without_losses_strata_and_terms_is_read(tmp_path: Path) -> None:
    write_statistics(
        tmp_path / "file", statistics_file(losses=None, strata=None, holdout_terms=None), force=False
    )
    found = read_statistics(tmp_path / "file")
    assert (found.losses, found.strata, found.holdout_strata) == (None, None, None)
    assert found.holdout_terms is None


def test_losses_are_told_of_rows_that_were_used(tmp_path: Path) -> None:
    used = np.ones(ROWS, dtype=np.bool_)
    used[2] = False  # the losses are those of the others, in their order
    file = statistics_file(used=used)
    assert file.losses is not None
    found = file.losses_of([4, 0, 3])
    assert found is not None
    assert np.array_equal(found, file.losses[[3, 0, 2]])
    assert file.losses_of([4, 2]) is None


@pytest.mark.parametrize("changes", [{"losses": None}, {"collected": replace(WHOLE, dtype="bfloat16")}])
def test_losses_that_are_missing_or_coarse_are_not_told(changes: dict[str, Any]) -> None:
    assert statistics_file(**changes).losses_of([0, 1]) is None


def test_strata_that_are_numbers_stay_so(tmp_path: Path) -> None:
    of_rows, of_unseen = np.linspace(0, 5, ROWS - 1, dtype=np.float32), np.ones(2, dtype=np.float32)
    written = statistics_file(strata=of_rows, holdout_strata=of_unseen)
    write_statistics(tmp_path / "file", written, force=False)
    found = read_statistics(tmp_path / "file").strata
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found, of_rows)


@pytest.mark.parametrize("make", [statistics_file, only_mask, sliced, all_parameters])
def test_a_peek_shows_all_but_the_sums(make: Callable[[], StatisticsFile], tmp_path: Path) -> None:
    write_statistics(tmp_path / "file", make(), force=False)
    found, expected = peek_statistics(tmp_path / "file"), read_statistics(tmp_path / "file")
    assert tensors_of(found.statistics) == {}
    assert (found.statistics.count, found.digest) == (expected.statistics.count, expected.digest)
    assert torch.equal(found.statistics.sampled, expected.statistics.sampled)
    assert (found.selected or {}).keys() == (expected.selected or {}).keys()
    for name in ("model", "settings", "seed", "collected", "planned", "shard", "versions"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("rows", "used", "holdout_losses"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_a_peek_finds_damage_only_where_it_looks(tmp_path: Path) -> None:
    write_statistics(tmp_path / "file", statistics_file(), force=False)
    content = (tmp_path / "file").read_bytes()
    begin = content.index(statistics().fisher["heads.weight"].numpy().tobytes())
    (tmp_path / "file").write_bytes(content[:begin] + bytes(24) + content[begin + 24 :])
    peek_statistics(tmp_path / "file")
    with pytest.raises(ArtifactError, match="corrupt"):
        read_statistics(tmp_path / "file")
    (tmp_path / "file").write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="corrupt"):
        peek_statistics(tmp_path / "file")


def test_single_precision_is_read_as_it_is(tmp_path: Path) -> None:
    write_statistics(tmp_path / "file", statistics_file(), force=False)
    found = tensors_of(read_statistics(tmp_path / "file", dtype=torch.float32).statistics)
    for name, tensor in tensors_of(statistics()).items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor)


def test_the_record_and_the_names_of_the_tensors(tmp_path: Path) -> None:
    write_statistics(tmp_path / "file", statistics_file(shard=Shard(2, 3), planned=20), force=False)
    artifact = read_artifact(tmp_path / "file", KIND)
    assert artifact.record["data"] == {"count": ROWS, "used": ROWS - 1, "planned": 20, "seed": 7}
    assert artifact.record["shard"] == {"index": 2, "of": 3}
    assert artifact.record["collected"] == {
        "scope": "structures",
        "parameters": True,
        "mask_statistics": True,
        "mask": None,
        "dtype": "float32",
        "kv": "any",
    }
    assert {name: list(tensor.shape) for name, tensor in artifact.tensors.items()} == {
        "fisher/out.weight": [4, UNITS * WIDTH],
        "gradient/out.weight": [4, UNITS * WIDTH],
        "fisher/heads.weight": [2, 3],
        "gradient/heads.weight": [2, 3],
        "mask_gradient/heads/0": [2],
        "mask_gradient/filters/0": [UNITS],
        "mask_fisher/heads/0": [2, 2],
        "mask_fisher/filters/0": [UNITS],
        "mask_rows/filters/0": [SAMPLED, UNITS],
        "sampled": [SAMPLED],
        "rows": [ROWS],
        "used": [ROWS],
        "losses": [ROWS - 1],
        "strata": [ROWS - 1],
        "holdout_strata": [2],
        "holdout_losses": [2],
        "holdout_terms": [2, 2],
    }
    assert read_statistics(tmp_path / "file").shard == Shard(2, 3)


def test_slices_are_of_the_mask_that_the_file_names(tmp_path: Path) -> None:
    write_statistics(tmp_path / "file", sliced(), force=False)
    mask = read_statistics(tmp_path / "file").mask(LAYOUT)
    assert mask is not None
    assert {key: flags.tolist() for key, flags in mask.selected.items()} == {
        "heads/0": [False, False],
        "filters/0": [False, True, False, False, True, False],
    }
    assert {name: indices.tolist() for name, _, indices in mask.slices()} == {"out.weight": [2, 3, 8, 9]}
    assert statistics_file().mask(LAYOUT) is None


def test_single_precision_is_written_without_a_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = statistics_file()
    mine = {name: tensor.data_ptr() for name, tensor in tensors_of(file.statistics).items()}
    written: dict[str, int] = {}

    def spy(target: Path, kind: str, record: Any, tensors: dict[str, Tensor], *, force: bool) -> str:
        written.update({name: tensor.data_ptr() for name, tensor in tensors.items()})
        return ""

    monkeypatch.setattr("speu_cli.statistics.files.write_artifact", spy)
    write_statistics(tmp_path / "file", file, force=False)
    assert {name: written[name] for name in mine} == mine
    assert tensors_of(file.statistics).keys() == mine.keys()


def test_double_precision_is_let_go_of_as_it_is_converted(tmp_path: Path) -> None:
    exact = statistics()
    wide: dict[str, Any] = {
        part: {name: tensor.double() for name, tensor in getattr(exact, part).items()}
        for part in ("fisher", "gradient", "mask_gradient", "mask_fisher", "mask_rows")
    }
    file = statistics_file(replace(exact, **wide))
    write_statistics(tmp_path / "file", file, force=False)
    assert tensors_of(file.statistics) == {}
    found = tensors_of(read_statistics(tmp_path / "file").statistics)
    assert all(torch.equal(found[name].float(), tensor) for name, tensor in tensors_of(exact).items())


Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


def put(name: str, value: Tensor) -> Change:
    return lambda _, tensors: tensors.update({name: value})


def without(name: str) -> Change:
    return lambda _, tensors: tensors.pop(name)


def record(key: str, **values: Any) -> Change:
    return lambda record, _: record[key].update(values)


REFUSED: dict[str, tuple[Callable[[], StatisticsFile], Change, str]] = {
    "negative squares": (
        statistics_file,
        lambda _, tensors: tensors["fisher/out.weight"].neg_(),
        "'fisher/out.weight' has negative entries",
    ),
    "a negative diagonal": (
        statistics_file,
        lambda _, tensors: tensors["mask_fisher/heads/0"].neg_(),
        "'mask_fisher/heads/0' has negative entries",
    ),
    "a negative diagonal on its own": (
        statistics_file,
        lambda _, tensors: tensors["mask_fisher/filters/0"].neg_(),
        "'mask_fisher/filters/0' has negative entries",
    ),
    "keys out of order": (
        statistics_file,
        put("sampled", torch.tensor([20, 10, 30])),
        "'sampled' is not a list of keys, expected int64, ascending",
    ),
    "a key twice": (statistics_file, put("sampled", torch.tensor([10, 10, 30])), "ascending"),
    "keys that are no numbers of rows": (statistics_file, put("sampled", torch.ones(3)), "expected int64"),
    "a sampled row that is not in the sums": (
        statistics_file,
        put("sampled", torch.tensor([10, 20, 10 * ROWS])),
        "'sampled' names rows that are not in the sums",
    ),
    "fewer keys than rows": (
        statistics_file,
        put("sampled", torch.tensor([10, 20])),
        "'mask_rows/filters/0' has 3 rows, expected one for each of the 2 keys",
    ),
    "no keys": (statistics_file, without("sampled"), "expected one for each of the 0 keys"),
    "a sample of fewer units than have a whole B": (
        statistics_file,
        lambda _, tensors: tensors.update({"mask_rows/heads/0": torch.ones(3, 2)}),
        "whose B is kept whole",
    ),
    "a sample of units whose B is whole": (
        statistics_file,
        put("mask_fisher/filters/0", torch.eye(UNITS)),
        "whose B is kept whole",
    ),
    "directions that nobody asked for": (
        statistics_file,
        put("directions/out.weight", torch.ones(2, 4, 12)),
        "'directions/out.weight' is not of 0 directions",
    ),
    "directions without weights": (
        directed,
        without("direction_weights"),
        "'direction_weights' is not of 2 directions",
    ),
    "a direction too few": (
        directed,
        put("directions/out.weight", torch.ones(1, 4, 12)),
        "'directions/out.weight' is not of 2 directions",
    ),
    "directions of too few examples": (
        directed,
        put("direction_weights", torch.tensor([1.0, 3.0])),
        "'direction_weights' are 1, 3, expected those of 5 examples",
    ),
    "directions of parts of examples": (
        directed,
        put("direction_weights", torch.tensor([1.5, 3.5])),
        "'direction_weights' are 1.5, 3.5, expected those of 5 examples",
    ),
    "directions that are not finite": (
        directed,
        put("directions/out.weight", torch.full((2, 4, 12), torch.nan)),
        "'directions/out.weight'",
    ),
    "a kind of directions that is not known": (
        directed,
        record("collected", directions={"kind": "eigenvectors", "count": 2, "examples": 5}),
        "not a complete statistics file",
    ),
    "half a direction": (
        directed,
        record("collected", directions={"kind": "classes", "count": 2.0, "examples": 5}),
        "not a complete statistics file",
    ),
    "no number of directions": (
        directed,
        record("collected", directions={"kind": "classes", "count": 0, "examples": 5}),
        "not a complete statistics file",
    ),
    "a tensor of another kind": (
        statistics_file,
        put("scores/heads/0", torch.ones(2)),
        "tensor 'scores/heads/0' is not one that a statistics file holds",
    ),
    "a tensor without a name": (statistics_file, put("fisher/", torch.ones(2)), "tensor 'fisher/' is not"),
    "units of a mask that is not named": (
        statistics_file,
        put("selected/heads/0", torch.tensor([0])),
        "'selected' and the mask of 'collected' do not fit",
    ),
    "a mask without its units": (
        sliced,
        lambda _, tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("selected/")],
        "'selected' and the mask of 'collected' do not fit",
    ),
    "more in the sums than planned": (
        statistics_file,
        record("data", planned=3),
        "8 of 3 planned examples are in the sums",
    ),
    "a whole that is not whole": (
        statistics_file,
        record("data", planned=20),
        "8 of 20 planned examples are in the sums",
    ),
    "no plan": (
        statistics_file,
        lambda record, _: record["data"].pop("planned"),
        "is not a complete statistics file: KeyError('planned')",
    ),
    "no word of shards": (
        statistics_file,
        lambda record, _: record.pop("shard"),
        "is not a complete statistics file: KeyError('shard')",
    ),
    "a shard that there is not": (
        statistics_file,
        lambda record, _: record.update(shard={"index": 3, "of": 2}),
        "is not a complete statistics file",
    ),
    "an unknown scope": (statistics_file, record("collected", scope="most"), "no file holds"),
    "an unknown type": (statistics_file, record("collected", dtype="float8"), "no file holds"),
    "nothing collected": (
        statistics_file,
        record("collected", parameters=False, mask_statistics=False),
        "no file holds",
    ),
    "slices of all": (sliced, record("collected", scope="all"), "no file holds"),
    "another field": (statistics_file, record("collected", more=1), "is not a complete statistics file"),
}


def forge(path: Path, make: Callable[[], StatisticsFile], change: Change) -> None:
    """Write a file, and again after a change, signed anew."""
    write_statistics(path, make(), force=False)
    artifact = read_artifact(path, KIND)
    tensors = dict(artifact.tensors)
    unsigned = {key: value for key, value in artifact.record.items() if key != "sha256"}
    change(unsigned, tensors)
    write_artifact(path, KIND, unsigned, tensors, force=True)


@pytest.mark.parametrize(("make", "change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_contradicts_itself_is_refused(
    make: Callable[[], StatisticsFile], change: Change, message: str, tmp_path: Path
) -> None:
    forge(tmp_path / "file", make, change)
    with pytest.raises(ArtifactError) as caught:
        read_statistics(tmp_path / "file")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


OF_ANOTHER_MODEL: dict[str, tuple[Callable[[], StatisticsFile], Change, str]] = {
    "a parameter too few": (
        statistics_file,
        without("gradient/out.weight"),
        "'gradient' of out.weight is missing",
    ),
    "a parameter too many": (
        statistics_file,
        lambda _, tensors: tensors.update({"fisher/out.bias": torch.ones(4)}),
        "'fisher' of out.bias is missing, not of this model",
    ),
    "all, but for one": (all_parameters, without("fisher/out.bias"), "'fisher' of out.bias is missing"),
    "parameters where there are none": (
        only_mask,
        put("fisher/out.weight", torch.ones(4, 12)),
        "'fisher' of out.weight",
    ),
    "u of a mask's slices": (
        sliced,
        put("mask_gradient/heads/0", torch.ones(2)),
        "'mask_gradient' of heads/0",
    ),
    "a whole parameter where slices are": (sliced, put("fisher/out.weight", torch.ones(4, 12)), "misshapen"),
    "a slice too few": (sliced, put("selected/filters/0", torch.tensor([1])), "misshapen"),
    "a unit that is not there": (
        sliced,
        put("selected/filters/0", torch.tensor([1, UNITS])),
        "'selected' is not of this model's units",
    ),
    "a group that is not there": (
        sliced,
        put("selected/filters/1", torch.tensor([1])),
        "'selected' is not of this model's units",
    ),
    "directions of a parameter too few": (
        directed,
        without("directions/out.weight"),
        "'directions' of out.weight is missing",
    ),
    "directions of another shape": (
        directed,
        put("directions/out.weight", torch.ones(2, 4, 11)),
        "'directions' of out.weight is missing, not of this model or misshapen",
    ),
    "a sample of other units": (
        statistics_file,
        put("mask_rows/filters/0", torch.ones(3, UNITS + 1)),
        "'mask_rows' of filters/0",
    ),
    "no sample beside a diagonal": (
        statistics_file,
        lambda _, tensors: [tensors.pop(name) for name in ("mask_rows/filters/0", "sampled")],
        "'mask_fisher' of filters/0",
    ),
    "B of other units": (
        statistics_file,
        put("mask_fisher/heads/0", torch.eye(1)),
        "'mask_fisher' of heads/0",
    ),
}


@pytest.mark.parametrize(
    ("make", "change", "message"), OF_ANOTHER_MODEL.values(), ids=OF_ANOTHER_MODEL.keys()
)
def test_what_does_not_fit_the_model_is_refused(
    make: Callable[[], StatisticsFile], change: Change, message: str, tmp_path: Path
) -> None:
    forge(tmp_path / "file", make, change)
    file = read_statistics(tmp_path / "file")
    with pytest.raises(ArtifactError) as caught:
        check_statistics(file, tmp_path / "file", checkpoint(), LAYOUT)
    assert message in str(caught.value)


def test_the_model_is_checked_first(tmp_path: Path) -> None:
    other = ModelIdentity(**(asdict(IDENTITY) | {"weights": "x" * 64}))
    with pytest.raises(ArtifactError, match="belongs to another model: its weights"):
        check_statistics(statistics_file(model=other), tmp_path / "file", checkpoint(), LAYOUT)


def test_a_mask_of_everything_has_the_slices_of_whole_parameters() -> None:
    file = statistics_file(
        collected=replace(WHOLE, mask="m" * 64),
        selected={group.key: torch.arange(group.count) for group in LAYOUT},
    )
    found = file.mask(LAYOUT)
    assert found is not None
    assert all(torch.equal(found.selected[key], flags) for key, flags in Mask.ones(LAYOUT).selected.items())
    check_statistics(file, Path("file"), checkpoint(), LAYOUT)
