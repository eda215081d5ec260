"""Masks and steps from statistics that hold a part: mask variables, a mask's slices, a sample, a shard."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import speu_cli
from memorised import FORGET, TRAIN, Home, memorised, snapshot
from oracles import masks as masks_oracle
from oracles import statistics as statistics_oracle
from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.write import read_record
from speu_cli.cli.main import main
from speu_cli.data.columns import DataChoice
from speu_cli.data.shards import Shard
from speu_cli.masks.files import read_mask
from speu_cli.masks.localization import MaskSettings, localize, localize_before_request
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.statistics.collector import collect
from speu_cli.statistics.files import Collection, StatisticsFile, read_statistics, write_statistics
from speu_cli.statistics.sums import Statistics
from speu_cli.statistics.wanted import Scope, Wanted, wanted_parameters, wanted_slices
from speu_cli.structures.entries import take
from speu_cli.structures.layout import find_layout
from tiny import FAMILIES, write_ids

OPTIONS, ARTIFACT = 2, 4
# The filters, 24 a layer, are then too many for B, the heads are not.
MOST_UNITS = 10
SINGLE = 1e-5


def write_file(
    home: Home,
    name: str,
    *,
    scope: Scope = "structures",
    mask: Path | None = None,
    only_mask: bool = False,
    sample: int | None = None,
    **changes: Any,
) -> Path:
    """A statistics file of the training set, made with the collector alone."""
    session = open_session(home.model, DataChoice(), Runtime())
    examples = session.read(home.path("train.jsonl"))
    encoded, model = session.encode(examples), session.checkpoint.model
    wanted, digest, selected = Wanted(wanted_parameters(model, session.layout, scope)), None, None
    if mask is not None:
        chosen, record = read_mask(mask, session.checkpoint.identity, session.layout)
        wanted = Wanted(wanted_slices(chosen), mask_statistics=False)
        digest = record["sha256"]
        selected = {key: flags.nonzero()[:, 0] for key, flags in chosen.selected.items()}
    if only_mask:
        wanted = replace(wanted, parameters={})
    if sample is not None:
        wanted = replace(wanted, sampled=encoded.keys.sort().values[:sample], most_units=MOST_UNITS)
    unseen = session.encode(session.read_like(examples, home.path("dev.jsonl")))
    collected = collect(model, session.layout, session.task, encoded, batch_tokens=100, wanted=wanted)
    file = StatisticsFile(
        statistics=collected.statistics,
        losses=collected.losses.numpy(),
        rows=examples.row_hashes(),
        used=np.ones(len(examples), dtype=np.bool_),
        holdout_losses=session.outcomes(unseen, "").losses,
        model=session.checkpoint.identity,
        settings=session.settings(examples),
        seed=0,
        collected=Collection(
            scope=scope,
            parameters=not only_mask,
            mask_statistics=wanted.mask_statistics,
            mask=digest,
            dtype="float32",
        ),
        planned=len(examples),
        selected=selected,
    )
    write_statistics(home.folder / name, replace(file, **changes), force=False)
    return home.folder / name


def write_mask(home: Home, name: str, fisher: str, **settings: Any) -> Path:
    """The mask of the request."""
    train, forget = home.path("train.jsonl"), home.path("ids.txt")
    speu_cli.mask(home.model, home.folder / fisher, home.folder / name, data=train, forget=forget, **settings)
    return home.folder / name


def with_artifacts(home: Home) -> Home:
    """Files of each kind."""
    write_file(home, "full")
    write_file(home, "all", scope="all")
    write_file(home, "only-mask", only_mask=True)
    write_file(home, "sampled", sample=12)
    write_file(home, "only-sampled-mask", sample=12, only_mask=True)
    write_file(home, "shard", shard=Shard(2, 8), planned=8 * TRAIN)
    write_file(home, "sliced", mask=write_mask(home, "mask", "full", sparsity=0.5))
    write_mask(home, "other-mask", "full", sparsity=0.75)
    write_file(home, "of-all-units", mask=write_mask(home, "all-units", "full", sparsity=0.0))
    return home


@pytest.fixture(scope="module", params=FAMILIES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of each family."""
    return with_artifacts(memorised(tmp_path_factory.mktemp("home"), request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of one, for what does not depend on the family."""
    return with_artifacts(memorised(tmp_path_factory.mktemp("bert")))


def assert_same_mask(one: Path, other: Path) -> None:
    """Same units, objective and scores, up to the rounding of different batches."""
    mine, theirs = read_artifact(one), read_artifact(other)
    assert mine.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        if name.startswith("selected/"):
            assert torch.equal(mine.tensors[name], tensor), name
        else:
            scale = float(tensor.abs().max())
            assert torch.allclose(mine.tensors[name], tensor, rtol=SINGLE, atol=SINGLE * scale), name
    for key in ("before", "after"):
        assert mine.record["objective"][key] == pytest.approx(theirs.record["objective"][key], rel=SINGLE)


def step(
    home: Home, output: Path, fisher: str, mask: str | None = None, **settings: Any
) -> dict[str, Tensor]:
    """How far the weights move at a fixed rate, by name."""
    speu_cli.unlearn(
        home.model,
        home.folder / fisher,
        home.path("train.jsonl"),
        home.path("ids.txt"),
        output,
        mask=home.folder / mask if mask else None,
        **({"rate": 1e-5, "max_overshoot": 1e9} | settings),
    )
    before, after = (load_checkpoint(folder).model for folder in (home.model, output))
    return {
        name: after.get_parameter(name).double() - parameter.double()
        for name, parameter in before.named_parameters()
    }


def assert_same_step(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Up to the rounding of the weights, of which only the difference is seen."""
    scale = max(float(moved.abs().max()) for moved in other.values())
    assert scale > 0
    for name, moved in other.items():
        assert torch.allclose(one[name], moved, rtol=1e-3, atol=1e-4 * scale), name


@pytest.mark.parametrize("fisher", ["only-mask", "all"])
def test_a_mask_needs_the_mask_variables_only(fisher: str, home: Home, tmp_path: Path) -> None:
    train, forget = home.path("train.jsonl"), home.path("ids.txt")
    for request in ({}, {"data": train, "forget": forget}, {"data": train, "forget": forget, "rounds": 1}):
        names = [f"{len(request)}-{one}" for one in ("full", fisher)]
        for source, name in zip(("full", fisher), names, strict=True):
            speu_cli.mask(home.model, home.folder / source, tmp_path / name, sparsity=0.5, **request)
        assert_same_mask(tmp_path / names[1], tmp_path / names[0])


def test_the_mask_of_a_request_is_that_of_the_sums_of_everything(bert: Home) -> None:
    """Collecting u alone of the forget set gives what collecting all of it gives."""
    session = open_session(bert.model, DataChoice(), Runtime())
    encoded = session.encode(session.read(bert.path("train.jsonl"))).select(range(FORGET))
    forget = collect(
        session.checkpoint.model, session.layout, session.task, encoded, batch_tokens=2048
    ).statistics
    full = read_statistics(bert.folder / "full").statistics
    expected = localize(forget, full - forget, session.layout, MaskSettings(sparsity=0.5))
    tensors = read_artifact(bert.folder / "mask").tensors
    for key, flags in expected.rearranged.mask.selected.items():
        assert torch.equal(tensors[f"selected/{key}"], flags.nonzero()[:, 0])
        assert torch.equal(tensors[f"scores/{key}"], expected.scores[key].float())


@pytest.mark.parametrize("fisher", ["sampled", "only-sampled-mask"])
@pytest.mark.parametrize("forgotten", [range(FORGET), None])
def test_a_sampled_mask_is_that_of_the_matrix_it_stands_for(
    fisher: str, forgotten: range | None, home: Home, tmp_path: Path
) -> None:
    """B̂_r written out from autograd's gradients, one example at a time, in float64."""
    train = [row["id"] for row in home.rows("train.jsonl")]
    chosen = list(forgotten or [])
    request: dict[str, Any] = {}
    if chosen:
        ids = write_ids(tmp_path / "ids.txt", [train[number] for number in chosen])
        request = {"data": home.path("train.jsonl"), "forget": str(ids)}
    made = speu_cli.mask(home.model, home.folder / fisher, tmp_path / "mask", sparsity=0.5, **request)

    session = open_session(home.model, DataChoice(), Runtime())
    encoded = session.encode(session.read(home.path("train.jsonl")))
    model = session.checkpoint.model.double()
    gradients = [
        of_mask
        for _, of_mask in statistics_oracle.example_gradients(model, session.layout, session.task, encoded)
    ]
    sampled = set(encoded.keys.sort().values[:12].tolist())
    remaining = [x for x in range(TRAIN) if x not in chosen]
    in_sample = [x for x in remaining if int(encoded.keys[x]) in sampled]
    assert len(in_sample) == len(sampled) - sum(int(encoded.keys[x]) in sampled for x in chosen)
    u = {group.key: torch.zeros(group.count, dtype=torch.float64) for group in session.layout}
    B = {}
    for group in session.layout:
        for x in chosen:
            u[group.key] += gradients[x][group.key]
        rows = np.stack([gradients[x][group.key].numpy() for x in remaining])
        of_sample = np.stack([gradients[x][group.key].numpy() for x in in_sample])
        exact, diagonal = rows.T @ rows, (rows**2).sum(0)
        estimate = masks_oracle.estimated_mask_fisher(diagonal, of_sample, len(remaining))
        B[group.key] = torch.from_numpy(estimate if group.kind == "filters" else exact)
    dense = Statistics(len(remaining), {}, {}, {}, B)
    settings = MaskSettings(sparsity=0.5)
    expected = (
        localize(Statistics(len(chosen), {}, {}, u, {}), dense, session.layout, settings)
        if chosen
        else localize_before_request(dense, session.layout, settings)
    )
    tensors = read_artifact(tmp_path / "mask").tensors
    for key, flags in expected.rearranged.mask.selected.items():
        assert torch.equal(tensors[f"selected/{key}"], flags.nonzero()[:, 0]), key
    # Terms of both signs cancel in f: single precision is relative to their sizes.
    size = sum(float(u[key].abs().sum() + 0.5 * B[key].abs().sum()) for key in u)
    assert made.objective_before == pytest.approx(expected.rearranged.before, abs=SINGLE * size)
    assert made.objective_after == pytest.approx(expected.rearranged.after, abs=SINGLE * size)
    assert made.swaps == expected.rearranged.swaps


def test_a_sample_is_not_the_exact_matrix(bert: Home, tmp_path: Path) -> None:
    """So the test above tells the two apart."""
    exact, sampled = (
        speu_cli.mask(bert.model, bert.folder / name, tmp_path / name, sparsity=0.5)
        for name in ("full", "sampled")
    )
    assert abs(exact.objective_after - sampled.objective_after) > 1e-2 * exact.objective_after


def test_unlearning_takes_the_mask_of_sampled_statistics(bert: Home, tmp_path: Path) -> None:
    write_mask(bert, "sampled-mask", "sampled", sparsity=0.5)
    given = step(bert, tmp_path / "given", "full", "sampled-mask")
    made = step(bert, tmp_path / "made", "sampled", sparsity=0.5)
    assert_same_step(made, given)


def test_statistics_of_all_parameters_give_the_same_step(home: Home, tmp_path: Path) -> None:
    assert_same_step(
        step(home, tmp_path / "all", "all", sparsity=0.5), step(home, tmp_path / "full", "full", sparsity=0.5)
    )
    assert_same_step(
        step(home, tmp_path / "all-so", "all", method="so"),
        step(home, tmp_path / "full-so", "full", method="so"),
    )


@pytest.mark.parametrize(
    ("fisher", "mask", "damping"), [("of-all-units", "all-units", 0.1), ("sliced", "mask", 0.0)]
)
def test_slices_give_the_step_of_whole_parameters(
    fisher: str, mask: str, damping: float, home: Home, tmp_path: Path
) -> None:
    """Where λ is the same: slices of everything have the tensor's mean, and no multiple of any mean is 0."""
    part = step(home, tmp_path / "part", fisher, mask, damping=damping)
    assert_same_step(part, step(home, tmp_path / "whole", "full", mask, damping=damping))
    for name, expected in (("part", "slices"), ("whole", "tensor")):
        record = read_record(tmp_path / name)
        assert record is not None
        assert record["step"]["damping_mean"] == expected
        assert record["step"]["damping"] == damping


def test_the_step_on_slices_is_eq_10_with_the_mean_of_the_slices(home: Home, tmp_path: Path) -> None:
    moved = step(home, tmp_path / "new", "sliced", "mask", damping=0.1, rate=1e-4)
    checkpoint = load_checkpoint(home.model)
    layout = find_layout(checkpoint.model)
    mask, _ = read_mask(home.folder / "mask", checkpoint.identity, layout)
    session = open_session(home.model, DataChoice(), Runtime())
    encoded = session.encode(session.read(home.path("train.jsonl")))
    of_parameters = [
        one
        for one, _ in statistics_oracle.example_gradients(
            session.checkpoint.model.double(), layout, session.task, encoded
        )
    ]
    for name, axes, indices in mask.slices():
        gradients = torch.stack([take(one[name], axes, indices) for one in of_parameters])
        curvature = (gradients[FORGET:] ** 2).sum(0) / (TRAIN - FORGET)
        expected = 1e-4 * gradients[:FORGET].sum(0) / (curvature + 0.1 * curvature.mean())
        scale = float(expected.abs().max())
        found = take(moved[name], axes, indices)
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * scale), name


def unlearn_on_slices(bert: Home, output: Path, **settings: Any) -> speu_cli.UnlearnResult:
    data = (bert.path("train.jsonl"), bert.path("ids.txt"))
    mask = bert.folder / "mask"
    return speu_cli.unlearn(bert.model, bert.folder / "sliced", *data, output, mask=mask, **settings)


def test_a_rate_is_found_on_slices(bert: Home, tmp_path: Path) -> None:
    result = unlearn_on_slices(bert, tmp_path / "new", recipe="paper")
    assert result.target_loss is not None
    assert result.loss_after == pytest.approx(result.target_loss, rel=0.1)


def test_targets_are_reached_on_slices(bert: Home, tmp_path: Path) -> None:
    result = unlearn_on_slices(bert, tmp_path / "new")
    assert result.recipe == "default"
    assert result.criterion["forget.reached"] >= 0.5
    record = read_record(tmp_path / "new")
    assert record is not None
    assert record["step"]["damping_mean"] == "slices"


def request(home: Home, command: str, fisher: str, *options: str) -> list[str]:
    sets = ["--data", home.path("train.jsonl"), "--forget", home.path("ids.txt")]
    return [command, str(home.model), "--fisher", home.path(fisher), *sets, *options]


REFUSED = {
    "a step from a shard": ("unlearn", "shard", "", ARTIFACT, "is shard 2 of 8"),
    "a mask from a shard": ("mask", "shard", "", ARTIFACT, "is shard 2 of 8"),
    "a step from mask statistics": (
        "unlearn",
        "only-mask",
        "--mask mask",
        ARTIFACT,
        "holds the statistics of the mask variables only",
    ),
    "a mask from slices": ("mask", "sliced", "", ARTIFACT, "holds no statistics of the mask variables"),
    "slices without their mask": ("unlearn", "sliced", "", OPTIONS, "and no mask was given"),
    "slices for all units": ("unlearn", "sliced", "--method so", OPTIONS, "and no mask was given"),
    "slices of another mask": (
        "unlearn",
        "sliced",
        "--mask other-mask",
        ARTIFACT,
        "holds only the slices of the mask with sha256",
    ),
    "a sample of forget examples only": (
        "mask",
        "sample-of-the-forgotten",
        "",
        OPTIONS,
        "no example is left in the sample of mask gradients",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(
    case: tuple[str, str, str, int, str], bert: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, fisher, options, code, message = case
    if fisher == "sample-of-the-forgotten":
        sample_of_the_forgotten(bert)
    words = [
        bert.path(word) if word.endswith("mask") and word[0] != "-" else word for word in options.split()
    ]
    before = snapshot(bert.folder)
    capfd.readouterr()
    found = main([*request(bert, command, fisher, *words), "-o", str(tmp_path / "new"), "--json"])
    out, err = capfd.readouterr()
    assert (found, out) == (code, ""), err
    first, *rest = err.splitlines()
    assert first.startswith("speu: error: ")
    assert message in first
    assert len(rest) == 1
    assert rest[0].startswith("hint: ")
    assert (list(tmp_path.iterdir()), snapshot(bert.folder)) == ([], before)


def sample_of_the_forgotten(home: Home) -> None:
    """Statistics whose sample is the forget set and nothing else."""
    write_file(home, "sample-of-the-forgotten", sample=12)
    file = read_statistics(home.folder / "sample-of-the-forgotten")
    session = open_session(home.model, DataChoice(), Runtime())
    encoded = session.encode(session.read(home.path("train.jsonl"))).select(range(FORGET))
    wanted = Wanted({}, sampled=encoded.keys, most_units=MOST_UNITS)
    sample = collect(
        session.checkpoint.model, session.layout, session.task, encoded, batch_tokens=100, wanted=wanted
    ).statistics
    sums = replace(file.statistics, mask_rows=sample.mask_rows, sampled=sample.sampled)
    write_statistics(home.folder / "sample-of-the-forgotten", replace(file, statistics=sums), force=True)


def test_both_masks_are_named_where_they_differ(bert: Home, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = request(bert, "unlearn", "sliced", "--mask", bert.path("other-mask"), "--dry-run")
    assert main(arguments) == ARTIFACT
    _, err = capfd.readouterr()
    for name in ("mask", "other-mask"):
        assert read_artifact(bert.folder / name).digest[:12] in err


def test_units_that_are_not_those_of_the_named_mask_are_refused(
    bert: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a file would be whose writer mixed two masks up: as many units, others."""
    file = read_statistics(bert.folder / "sliced")
    assert file.selected is not None
    turned = {key: (23 if "filters" in key else 3) - units.flip(0) for key, units in file.selected.items()}
    assert any(not torch.equal(turned[key], units) for key, units in file.selected.items())
    write_statistics(tmp_path / "turned", replace(file, selected=turned), force=False)
    arguments = request(bert, "unlearn", "sliced", "--mask", bert.path("mask"), "--dry-run")
    arguments[arguments.index("--fisher") + 1] = str(tmp_path / "turned")
    assert main(arguments) == ARTIFACT
    assert "is not what its mask" in capfd.readouterr().err


def test_inspect_tells_what_there_is(bert: Home) -> None:
    def facts(name: str) -> dict[str, str]:
        return dict(speu_cli.inspect(bert.folder / name).summary)

    full, only, sliced = facts("full"), facts("only-mask"), facts("sliced")
    assert (full["scope"], facts("all")["scope"]) == ("structures", "all")
    assert full["computed in"] == "float32"
    assert full["sums of"] == "parameters and mask variables"
    assert only["sums of"] == "mask variables"
    assert sliced["sums of"] == "parameters"
    assert sliced["only slices of"] == f"the mask with sha256 {read_artifact(bert.folder / 'mask').digest}"
    assert {"only slices of", "shard", "sample"} & full.keys() == set()
    assert {"parameters", "sharpest"} & only.keys() == set()
    entries = sum(part.numel() for part in read_statistics(bert.folder / "sliced").statistics.fisher.values())
    assert sliced["parameters"].startswith(f"{entries:,} in ")
    assert facts("shard")["shard"] == "2 of 8: to be merged"
    assert facts("shard")["examples"] == f"{TRAIN} of {TRAIN} in the sums, {8 * TRAIN} in those of all shards"
    assert facts("sampled")["sample"] == "12 examples in place of the mask Fisher of 2 groups"


def test_inspect_prints_it(bert: Home, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", bert.path("sliced")]) == 0
    assert "only slices of" in capfd.readouterr().out
    assert main(["inspect", bert.path("sliced"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["record"]["collected"]["mask_statistics"] is False


def test_a_mask_of_no_heads_has_slices_of_filters_only(bert: Home, tmp_path: Path) -> None:
    mask = write_mask(bert, "filters-mask", "full", sparsity=0.5, kinds="filters")
    fisher = write_file(bert, "sliced-filters", mask=mask)
    assert all("attention.self" not in name for name in read_statistics(fisher).statistics.fisher)
    part = step(bert, tmp_path / "part", "sliced-filters", "filters-mask", damping=0.0)
    assert_same_step(part, step(bert, tmp_path / "whole", "full", "filters-mask", damping=0.0))
