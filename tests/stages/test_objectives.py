"""Masks by each objective and with entries, from statistics files to written models; dampening likewise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import speu_cli
from memorised import FORGET, TRAIN, Home, memorised, snapshot
from oracles import masks as oracle
from oracles import statistics as statistics_oracle
from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.write import read_record
from speu_cli.cli.main import main
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError, UnsafeStepError
from speu_cli.masks.files import read_mask
from speu_cli.masks.localization import MaskSettings, Objective, localize
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.mask import MaskResult
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session, open_session
from speu_cli.stages.unlearn import UnlearnResult
from speu_cli.statistics.sums import Statistics
from tiny import FAMILIES

OBJECTIVES: tuple[Objective, ...] = ("mlr", "mlf", "norm", "random")
OPTIONS = 2
FIXED: dict[str, Any] = {"rate": 1e-5, "max_overshoot": 1e9}


def with_statistics(home: Home) -> Home:
    train, dev = home.path("train.jsonl"), home.path("dev.jsonl")
    speu_cli.fisher(home.model, train, home.folder / "fisher", holdout=dev)
    only = CollectionChoice(only="mask")
    speu_cli.fisher(home.model, train, home.folder / "only-mask", holdout=dev, collection=only)
    return home


@pytest.fixture(scope="module", params=FAMILIES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Of each family."""
    return with_statistics(memorised(tmp_path_factory.mktemp("home"), request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """For what does not depend on the family."""
    home = with_statistics(memorised(tmp_path_factory.mktemp("bert")))
    train, dev = home.path("train.jsonl"), home.path("dev.jsonl")
    speu_cli.fisher(
        home.model, train, home.folder / "all", holdout=dev, collection=CollectionChoice(scope="all")
    )
    return home


def mask(home: Home, output: Path, fisher: str = "fisher", **settings: Any) -> MaskResult:
    request = {"data": home.path("train.jsonl"), "forget": home.path("ids.txt"), "sparsity": 0.5}
    return speu_cli.mask(home.model, home.folder / fisher, output, **(request | settings))


def unlearn(home: Home, output: Path | None, fisher: Path | None = None, **settings: Any) -> UnlearnResult:
    statistics = fisher or home.folder / "fisher"
    return speu_cli.unlearn(
        home.model, statistics, home.path("train.jsonl"), home.path("ids.txt"), output, **settings
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def session_of(home: Home) -> Session:
    return open_session(home.model, DataChoice(), Runtime())


def may_change(home: Home, path: Path) -> dict[str, torch.Tensor]:
    """Flags of every entry of the model that a mask file lets change."""
    session = session_of(home)
    chosen, _ = read_mask(path, session.checkpoint.identity, session.layout)
    allowed = {
        name: torch.zeros_like(parameter, dtype=torch.bool)
        for name, parameter in session.checkpoint.model.named_parameters()
    }
    for name, (axis,), indices in chosen.slices():
        flags = chosen.entries(name)
        every = torch.ones_like(allowed[name].index_select(axis, indices))
        allowed[name].index_copy_(axis, indices, every if flags is None else flags)
    return allowed


def moved(before: Path, after: Path) -> dict[str, torch.Tensor]:
    one, other = weights(before), weights(after)
    return {name: one[name].view(torch.int32) != other[name].view(torch.int32) for name in one}


def gradients_of(home: Home) -> tuple[Session, list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]]:
    """By autograd, of each training example, of parameters and mask variables, in float64."""
    session = session_of(home)
    encoded = session.encode(session.read(home.path("train.jsonl")))
    model = session.checkpoint.model.double()
    return session, statistics_oracle.example_gradients(model, session.layout, session.task, encoded)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_mask_is_that_of_autograds_gradients(home: Home, objective: Objective, tmp_path: Path) -> None:
    made = mask(home, tmp_path / "mask", objective=objective)
    session, gradients = gradients_of(home)
    of_forget, of_remaining = (
        statistics_of(gradients[part]) for part in (slice(FORGET), slice(FORGET, TRAIN))
    )
    asked = MaskSettings(sparsity=0.5, objective=objective)
    expected = localize(of_forget, of_remaining, session.layout, asked)
    artifact = read_artifact(tmp_path / "mask")
    assert artifact.record["settings"]["objective"] == made.objective == objective
    for key, flags in expected.rearranged.mask.selected.items():
        assert torch.equal(artifact.tensors[f"selected/{key}"], flags.nonzero()[:, 0])
        scores = expected.scores[key]
        scale = float(scores.abs().max())
        assert torch.allclose(
            artifact.tensors[f"scores/{key}"].double(), scores, rtol=1e-4, atol=1e-4 * scale
        )
    found = expected.objective()
    assert (found is None) == (artifact.record["objective"] is None) == (objective in ("norm", "random"))
    if found is not None:
        assert made.objective_after == pytest.approx(found["after"], rel=1e-3)
    else:
        assert (made.objective_before, made.objective_after, made.swaps) == (None, None, 0)


def statistics_of(gradients: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]) -> Statistics:
    names, keys = gradients[0][0], gradients[0][1]
    return Statistics(
        len(gradients),
        {},
        {name: sum(of_example[name] for of_example, _ in gradients) for name in names},
        {key: sum(m[key] for _, m in gradients) for key in keys},
        {key: sum(torch.outer(m[key], m[key]) for _, m in gradients) for key in keys},
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_mask_variables_statistics_are_enough(bert: Home, objective: Objective, tmp_path: Path) -> None:
    for name in ("fisher", "only-mask", "all"):
        mask(bert, tmp_path / name, name, objective=objective)
    selected = [
        {key: one for key, one in read_artifact(tmp_path / name).tensors.items() if "selected/" in key}
        for name in ("fisher", "only-mask", "all")
    ]
    for other in selected[1:]:
        assert all(torch.equal(other[key], one) for key, one in selected[0].items())


def test_norm_takes_even_statistics_of_slices_and_the_others_do_not(bert: Home, tmp_path: Path) -> None:
    mask(bert, tmp_path / "mask", objective="norm")
    part = CollectionChoice(mask=tmp_path / "mask")
    speu_cli.fisher(bert.model, bert.path("train.jsonl"), bert.folder / "part", collection=part)
    try:
        mask(bert, tmp_path / "again", "part", objective="norm")
        for objective in ("mlr", "mlf"):
            with pytest.raises(ArtifactError, match="no statistics of the mask variables"):
                mask(bert, tmp_path / "other", "part", objective=objective)
    finally:
        (bert.folder / "part").unlink()
    one, other = (read_artifact(tmp_path / name).tensors for name in ("mask", "again"))
    assert all(torch.equal(other[key], tensor) for key, tensor in one.items())


@pytest.mark.parametrize("objective", ["mlf", "norm", "random"])
@pytest.mark.parametrize("within", [None, "wanda:0.5"])
def test_a_mask_from_a_file_is_the_mask_made_on_the_way(
    bert: Home, objective: Objective, within: str | None, tmp_path: Path
) -> None:
    mask(bert, tmp_path / "mask", objective=objective, within=within)
    given = unlearn(bert, tmp_path / "given", mask=tmp_path / "mask", **FIXED)
    made = unlearn(bert, tmp_path / "made", sparsity=0.5, objective=objective, within=within, **FIXED)
    assert (given.objective, given.within) == (made.objective, made.within) == (objective, within)
    assert given.parameters_changed == made.parameters_changed
    one, other = weights(tmp_path / "given"), weights(tmp_path / "made")
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    for name in ("given", "made"):
        assert read_record(tmp_path / name)["mask"]["objective"] == objective
        assert read_record(tmp_path / name)["mask"]["within"] == within
        assert (tmp_path / name / MASK_NAME).read_bytes() == (tmp_path / "mask").read_bytes()


def test_random_units_are_the_same_before_any_request(bert: Home, tmp_path: Path) -> None:
    mask(bert, tmp_path / "for-one", objective="random")
    mask(bert, tmp_path / "for-any", objective="random", data=None, forget=None)
    one, other = (read_artifact(tmp_path / name).tensors for name in ("for-one", "for-any"))
    assert one.keys() == other.keys()
    assert all(torch.equal(other[key], tensor) for key, tensor in one.items())


def test_mlf_of_sampled_groups_is_that_of_the_forget_sets_own_gradients(
    bert: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever the training set's sample is, all of a small forget set stands for its B: it is exact."""
    train, dev = bert.path("train.jsonl"), bert.path("dev.jsonl")
    monkeypatch.setattr("speu_cli.statistics.wanted.Wanted.is_sampled", lambda _, units: units > 10)
    part = CollectionChoice(only="mask", sample=3)
    speu_cli.fisher(bert.model, train, tmp_path / "sampled", holdout=dev, collection=part)
    assert "mask_rows/filters/0" in read_artifact(tmp_path / "sampled").tensors
    sampled = mask(bert, tmp_path / "one", str(tmp_path / "sampled"), objective="mlf")
    monkeypatch.undo()
    exact = mask(bert, tmp_path / "other", objective="mlf")
    assert sampled.objective_after == pytest.approx(exact.objective_after, rel=1e-4)
    one, other = (read_artifact(tmp_path / name).tensors for name in ("one", "other"))
    assert all(torch.equal(other[key], one[key]) for key in one if key.startswith("selected/"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_only_the_chosen_entries_change(home: Home, objective: Objective, tmp_path: Path) -> None:
    made = mask(home, tmp_path / "mask", objective=objective, within="wanda:0.75")
    result = unlearn(home, tmp_path / "new", mask=tmp_path / "mask", max_overshoot=10.0)
    assert result.loss_before < result.loss_after
    allowed, changed = may_change(home, tmp_path / "mask"), moved(home.model, tmp_path / "new")
    assert sum(int(flags.sum()) for flags in allowed.values()) == result.parameters_changed
    assert made.entries is not None
    kept, of = made.entries
    assert 0.15 < kept / of <= 0.25
    biases = sum(int(flags.sum()) for flags in allowed.values() if flags.ndim == 1)
    assert kept + biases == result.parameters_changed
    assert not any((flags & ~allowed[name]).any() for name, flags in changed.items())
    assert sum(int(flags.sum()) for flags in changed.values()) > result.parameters_changed / 2


def test_entries_are_those_of_the_forget_sets_inputs(bert: Home, tmp_path: Path) -> None:
    """Wanda by hand, of one weight with rows and one with columns."""
    mask(bert, tmp_path / "mask", within="wanda:0.5")
    session = session_of(bert)
    model = session.checkpoint.model
    encoded = session.encode(session.read(bert.path("train.jsonl"))).select(range(FORGET))
    artifact = read_artifact(tmp_path / "mask")
    chosen, _ = read_mask(tmp_path / "mask", session.checkpoint.identity, session.layout)
    slices = {name: (axis, indices) for name, (axis,), indices in chosen.slices()}
    for ending in ("intermediate.dense.weight", "attention.output.dense.weight"):
        name = next(one for one in slices if one.endswith(ending))
        tokens: list[np.ndarray] = []
        module = model.get_submodule(name.removesuffix(".weight"))
        hook = module.register_forward_hook(lambda _, args, __, to=tokens: to.extend(args[0][0].numpy()))
        with hook, torch.no_grad():
            for index in range(FORGET):
                model(**encoded.collate([index])[0])
        axis, indices = slices[name]
        norms = oracle.input_norms(tokens)
        weight = model.get_parameter(name).detach().index_select(axis, indices).double().numpy()
        expected = oracle.wanda(weight, norms if axis == 0 else norms[indices.numpy()], 0.5)
        assert np.array_equal(artifact.tensors[f"within/{name}"].numpy(), expected), name


def test_statistics_of_a_masks_slices_serve_its_entries(bert: Home, tmp_path: Path) -> None:
    """They hold the slices whole; without damping, whose mean is over other entries, the step is the same."""
    mask(bert, tmp_path / "mask", within="wanda:0.75")
    part = CollectionChoice(mask=tmp_path / "mask")
    train, dev = bert.path("train.jsonl"), bert.path("dev.jsonl")
    speu_cli.fisher(bert.model, train, tmp_path / "part", holdout=dev, collection=part)
    of_part, of_whole = (
        unlearn(
            bert, tmp_path / name, fisher, mask=tmp_path / "mask", damping=0.0, rate=1e-7, max_overshoot=1e9
        )
        for name, fisher in (("of-part", tmp_path / "part"), ("of-whole", None))
    )
    assert of_part.parameters_changed == of_whole.parameters_changed
    allowed = may_change(bert, tmp_path / "mask")
    before, one, other = (weights(path) for path in (bert.model, tmp_path / "of-part", tmp_path / "of-whole"))
    scale = max(float((other[name] - before[name]).abs().max()) for name in before)
    assert scale > 0
    for name, flags in allowed.items():
        assert torch.equal(one[name][~flags], before[name][~flags])
        assert torch.allclose(one[name], other[name], rtol=1e-5, atol=1e-4 * scale), name
    # Another mask of the same units is another mask.
    mask(bert, tmp_path / "other", within="wanda:0.5")
    with pytest.raises(ArtifactError, match="holds only the slices of the mask"):
        unlearn(bert, None, tmp_path / "part", mask=tmp_path / "other", dry_run=True, **FIXED)


def test_dampening_is_its_formula_on_all_that_the_statistics_hold(bert: Home, tmp_path: Path) -> None:
    session, gradients = gradients_of(bert)
    scopes = {"fisher": "structures", "all": "all"}
    for fisher, scope in scopes.items():
        before = snapshot(bert.folder)
        result = unlearn(
            bert,
            tmp_path / fisher,
            bert.folder / fisher,
            method="ssd",
            ssd_alpha=2.0,
            ssd_lambda=0.9,
            max_overshoot=1e9,
        )
        assert snapshot(bert.folder) == before
        record = read_record(tmp_path / fisher)
        assert record["method"] == result.method == "ssd"
        assert record["step"] == {
            "alpha": 2.0,
            "lambda": 0.9,
            "target_loss": result.target_loss,
            "max_overshoot": 1e9,
            "forget_examples": "all",
            "scope": scope,
        }
        assert (record["rate"], record["mask"], result.rate, result.objective) == (None, None, None, None)
        assert (record["loss_before"], record["loss_after"]) == (result.loss_before, result.loss_after)
        assert not (tmp_path / fisher / MASK_NAME).exists()
        changed = moved(bert.model, tmp_path / fisher)
        held = {name.removeprefix("fisher/") for name in read_artifact(bert.folder / fisher).tensors}
        assert not any(flags.any() for name, flags in changed.items() if name not in held)
        # What is zero, as biases are here, stays zero.
        zeros = sum(int((value == 0).sum()) for value in weights(bert.model).values())
        count = sum(int(flags.sum()) for flags in changed.values())
        assert count <= result.parameters_changed <= count + zeros
        assert count > 0
    old, new = weights(bert.model), weights(tmp_path / "fisher")
    for name in (
        "bert.encoder.layer.0.intermediate.dense.weight",
        "bert.encoder.layer.1.output.dense.weight",
    ):
        of_forget, of_all = (
            sum(one[name].numpy() ** 2 for one, _ in gradients[:count]) / count for count in (FORGET, TRAIN)
        )
        expected = oracle.dampened(old[name].double().numpy(), of_forget, of_all, 2.0, 0.9)
        near = np.isclose(of_forget, 2.0 * of_all, rtol=1e-3)
        assert np.allclose(new[name].numpy()[~near], expected[~near], rtol=1e-3, atol=1e-7), name
        assert (expected != old[name].double().numpy()).any()
    assert session.layout.parameters.keys() >= {"bert.encoder.layer.0.intermediate.dense.weight"}


@pytest.mark.parametrize("within", [None, "wanda:0.5"])
def test_dampening_stays_inside_a_mask(home: Home, within: str | None, tmp_path: Path) -> None:
    mask(home, tmp_path / "mask", within=within)
    asked: dict[str, Any] = {"method": "ssd", "ssd_alpha": 1.5, "max_overshoot": 1e9}
    result = unlearn(home, tmp_path / "new", mask=tmp_path / "mask", **asked)
    allowed, changed = may_change(home, tmp_path / "mask"), moved(home.model, tmp_path / "new")
    assert not any((flags & ~allowed[name]).any() for name, flags in changed.items())
    count = sum(int(flags.sum()) for flags in changed.values())
    assert 0 < count <= result.parameters_changed
    assert read_record(tmp_path / "new")["step"]["scope"] == "mask"
    part = CollectionChoice(mask=tmp_path / "mask")
    train, dev = home.path("train.jsonl"), home.path("dev.jsonl")
    speu_cli.fisher(home.model, train, tmp_path / "part", holdout=dev, collection=part)
    unlearn(home, tmp_path / "of-part", tmp_path / "part", mask=tmp_path / "mask", **asked)
    one, other = weights(tmp_path / "new"), weights(tmp_path / "of-part")
    differ = sum(int((one[name] - other[name]).abs().gt(1e-4).sum()) for name in one)
    assert differ <= 0.01 * count


def test_dampening_that_finds_nothing_or_too_much_says_so(bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, tmp_path / "new", method="ssd", ssd_alpha=1e9)
    assert result.note is not None
    assert result.parameters_changed == 0
    assert result.loss_after == pytest.approx(result.loss_before, rel=1e-6)
    assert not any(flags.any() for flags in moved(bert.model, tmp_path / "new").values())
    with pytest.raises(UnsafeStepError, match="the step takes the forget loss to") as refused:
        unlearn(bert, tmp_path / "broken", method="ssd", ssd_alpha=1.0, ssd_lambda=0.01, target_loss=1e-3)
    assert "--ssd-alpha" in str(refused.value.hint)
    assert not (tmp_path / "broken").exists()


def test_a_dry_run_of_dampening_writes_nothing(bert: Home, tmp_path: Path) -> None:
    before = snapshot(bert.folder)
    asked: dict[str, Any] = {"method": "ssd", "ssd_alpha": 2.0, "max_overshoot": 1e9}
    dry = unlearn(bert, tmp_path / "new", dry_run=True, **asked)
    assert snapshot(bert.folder) == before
    assert list(tmp_path.iterdir()) == []
    real = unlearn(bert, tmp_path / "new", **asked)
    assert (dry.loss_after, dry.parameters_changed) == (real.loss_after, real.parameters_changed)
    assert dry.writes == real.writes
    assert real.writes.keys() == {path.name for path in (tmp_path / "new").iterdir()}


def test_dampening_needs_the_parameters(bert: Home, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="statistics of the mask variables only"):
        unlearn(bert, tmp_path / "new", bert.folder / "only-mask", method="ssd")
    with pytest.raises(InputError, match="has no --rate"):
        unlearn(bert, tmp_path / "new", method="ssd", rate=1e-6)


@pytest.mark.parametrize(
    ("asked", "option"), [({"objective": "mlf"}, "mlf"), ({"within": "wanda:0.5"}, "within")]
)
def test_what_is_chosen_by_the_forget_set_needs_one(
    bert: Home, asked: dict[str, Any], option: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"--(objective )?{option} chooses by the examples to forget"):
        mask(bert, tmp_path / "mask", data=None, forget=None, **asked)


@pytest.mark.parametrize("asked", [MaskSettings(objective="norm"), MaskSettings(within="wanda:0.5")])
def test_requests_in_a_row_are_served_by_mlr_alone(bert: Home, asked: MaskSettings, tmp_path: Path) -> None:
    train = bert.path("train.jsonl")
    with pytest.raises(InputError, match="requests in a row choose units by objective mlr"):
        speu_cli.start_requests(tmp_path / "state", bert.model, bert.folder / "fisher", train, mask=asked)
    assert not (tmp_path / "state").exists()


def test_inspect_tells_of_objective_and_entries(
    bert: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask(bert, tmp_path / "mask", objective="norm", within="wanda:0.5")
    assert main(["inspect", str(tmp_path / "mask")]) == 0
    told = capsys.readouterr().out
    assert "objective norm" in told
    assert "within wanda:0.5" in told
    assert "in these units updated" in told


def test_the_command_line_does_the_same(
    bert: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [str(bert.model), "--fisher", bert.path("fisher"), "--data", bert.path("train.jsonl")]
    inputs += ["--forget", bert.path("ids.txt"), "--json"]
    how = ["--objective", "mlf", "--within", "wanda:0.5", "--sparsity", "0.5"]
    assert main(["mask", *inputs, *how, "-o", str(tmp_path / "mask")]) == 0
    told = json.loads(capsys.readouterr().out)
    made = mask(bert, tmp_path / "same", objective="mlf", within="wanda:0.5")
    assert (told["objective"], told["sha256"]) == ("mlf", made.sha256)
    assert made.entries is not None
    assert told["entries"] == list(made.entries)
    ssd = ["--method", "ssd", "--ssd-alpha", "2", "--ssd-lambda", "0.5", "--max-overshoot", "1e9"]
    assert main(["unlearn", *inputs, *ssd, "-o", str(tmp_path / "new")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["method"], told["rate"], told["rate_trials"]) == ("ssd", None, 0)
    assert told["loss_after"] > told["loss_before"]
