"""The four stages in a row, on each family and both tasks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import speu_cli
from memorised import DEV, FORGET, TEST, TRAIN, Home, memorised, snapshot
from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.write import RECORD_NAME, read_record
from speu_cli.cli.main import main
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.unlearn import UnlearnResult
from tiny import FAMILIES, tiny_model, write_ids, write_rows

CASES = [(family, outputs) for family in FAMILIES for outputs in (2, 1)]


@pytest.fixture(
    scope="module", params=CASES, ids=[f"{family}-{'classes' if n > 1 else 'score'}" for family, n in CASES]
)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder in which the statistics and a mask are made."""
    return with_artifacts(memorised(tmp_path_factory.mktemp("home"), *request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One of the cases, for what does not depend on family and task."""
    return with_artifacts(memorised(tmp_path_factory.mktemp("bert")))


def with_artifacts(home: Home) -> Home:
    train, forget = home.path("train.jsonl"), home.path("ids.txt")
    fisher = home.folder / "fisher"
    (home.folder / WIDE).write_text(RECIPE)
    speu_cli.fisher(home.model, train, fisher, holdout=home.path("dev.jsonl"))
    speu_cli.mask(home.model, fisher, home.folder / "mask", data=train, forget=forget, sparsity=0.75)
    return home


# As `default`, but for the other answers of models so tiny, which may move with the forgotten ones.
WIDE = "wide.toml"
RECIPE = 'target = "each"\nsteps = 3\nsettle = 1\nheld = 256\nanew = true\nwidth = 1e9\n'
both_recipes = pytest.mark.parametrize("recipe", [WIDE, "paper"])


def unlearn(home: Home, output: Path | None, **settings: Any) -> UnlearnResult:
    if settings.get("recipe") == WIDE:
        settings["recipe"] = home.folder / WIDE
    fisher, train = home.folder / "fisher", home.path("train.jsonl")
    return speu_cli.unlearn(home.model, fisher, train, home.path("ids.txt"), output, **settings)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


# Where the units are, said once more: modules with rows of a head (and how many heads share a row), with
# columns of a head, with rows of a filter, with columns of a filter; and the features of a head.
SELF = ".attention.self."
BERT = ({f"{SELF}query": 1, f"{SELF}key": 1, f"{SELF}value": 1}, ".attention.output.dense", 4)
UNITS = {
    "bert": (*BERT, (".intermediate.dense",), "{layer}.output.dense"),
    "roberta": (*BERT, (".intermediate.dense",), "{layer}.output.dense"),
    "distilbert": ({".q_lin": 1, ".k_lin": 1, ".v_lin": 1}, ".out_lin", 4, (".lin1",), ".lin2"),
    "llama": (
        {".q_proj": 1, ".k_proj": 2, ".v_proj": 2},
        ".o_proj",
        6,
        (".gate_proj", ".up_proj"),
        ".down_proj",
    ),
}


def entries_of_selected_units(home: Home, mask: Path) -> dict[str, torch.Tensor]:
    """True for the entries that the mask file lets change, counted from the file without our own code."""
    model = tiny_model(home.family, outputs=home.outputs)
    allowed = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in model.named_parameters()}
    inputs, projection, width, into, out_of = UNITS[home.family]
    tensors = read_artifact(mask).tensors
    for name, flags in allowed.items():
        layer = next((part for part in name.split(".") if part.isdecimal()), None)
        module, _, kind = name.rpartition(".")
        if layer is None or name.endswith(("key.bias", "k_lin.bias")):  # softmax does not see these
            continue
        heads, filters = (tensors[f"selected/{units}/{layer}"].tolist() for units in ("heads", "filters"))
        shared = next((number for ending, number in inputs.items() if module.endswith(ending)), None)
        if shared is not None:
            flags[[width * (h // shared) + i for h in heads for i in range(width)]] = True
        elif module.endswith(projection) and kind == "weight":
            flags[:, [width * h + i for h in heads for i in range(width)]] = True
        elif module.endswith(into):
            flags[filters] = True
        elif module.endswith(out_of.format(layer=layer)) and kind == "weight":
            flags[:, filters] = True
    return allowed


def test_statistics(home: Home) -> None:
    artifact = read_artifact(home.folder / "fisher", "statistics")
    assert artifact.record["data"] == {"count": TRAIN, "used": TRAIN, "planned": TRAIN, "seed": 0}
    assert artifact.record["encoding"]["columns"] == {
        "id": "id",
        "text": "text",
        "text_pair": None,
        "label": "label",
    }
    assert len(artifact.tensors["holdout_losses"]) == DEV
    for name, rows in (("strata", "train.jsonl"), ("holdout_strata", "dev.jsonl")):
        labels = [row["label"] for row in home.rows(rows)]
        assert artifact.tensors[name].tolist() == pytest.approx(labels)
    fisher = [tensor for name, tensor in artifact.tensors.items() if name.startswith("fisher/")]
    assert len(fisher) == (14 if home.family == "llama" else 18)  # Llama has no biases, and two ways in
    assert all((tensor >= 0).all() and tensor.sum() > 0 for tensor in fisher if tensor.ndim > 1)


@both_recipes
def test_only_the_selected_slices_change(recipe: str, home: Home, tmp_path: Path) -> None:
    result = unlearn(home, tmp_path / "new", mask=home.folder / "mask", recipe=recipe)
    assert result.loss_before < result.loss_after
    assert result.target_loss is not None
    if recipe == "paper":
        assert result.loss_after == pytest.approx(result.target_loss, rel=0.1)
    else:
        assert result.criterion["forget.reached"] >= 0.5
    assert result.selected == {"heads": (2, 8), "filters": (12, 48)}
    before, after = weights(home.model), weights(tmp_path / "new")
    assert before.keys() == after.keys()
    allowed = entries_of_selected_units(home, home.folder / "mask")
    assert sum(int(flags.sum()) for flags in allowed.values()) == result.parameters_changed
    assert sum(flags.numel() for flags in allowed.values()) == result.parameters_total
    changed = 0
    for name, flags in allowed.items():
        moved = before[name].view(torch.int32) != after[name].view(torch.int32)
        assert not (moved & ~flags).any(), f"{name} changed outside the mask"
        changed += int(moved.sum())
    assert changed > result.parameters_changed / 2


@both_recipes
def test_the_loss_is_that_of_the_written_model(recipe: str, home: Home, tmp_path: Path) -> None:
    """What the step measured is what another reader of the folder measures."""
    result = unlearn(home, tmp_path / "new", sparsity=0.5, recipe=recipe)
    sets = (home.path("train.jsonl"), home.path("ids.txt"), home.path("test.jsonl"))
    measured = speu_cli.evaluate(tmp_path / "new", *sets, original=home.model)
    assert measured.model["loss.forget"].value == pytest.approx(result.loss_after, rel=1e-5)
    assert measured.original is not None
    assert measured.original["loss.forget"].value == pytest.approx(result.loss_before, rel=1e-5)
    counts = (measured.forget_examples, measured.remaining_examples, measured.test_examples)
    assert counts == (FORGET, TRAIN - FORGET, TEST)


def test_a_mask_from_a_file_is_the_mask_made_on_the_way(home: Home, tmp_path: Path) -> None:
    unlearn(home, tmp_path / "from-file", mask=home.folder / "mask", recipe=WIDE)
    unlearn(home, tmp_path / "on-the-way", sparsity=0.75, recipe=WIDE)
    assert_same_weights(tmp_path / "from-file", tmp_path / "on-the-way")
    for name in ("from-file", "on-the-way"):
        assert (tmp_path / name / MASK_NAME).read_bytes() == (home.folder / "mask").read_bytes()
    records = [read_record(tmp_path / name) for name in ("from-file", "on-the-way")]
    digest = read_artifact(home.folder / "mask").digest
    assert [record["inputs"]["mask"] for record in records] == [digest, None]
    assert records[0] == records[1] | {"inputs": records[0]["inputs"]}


@both_recipes
def test_so_is_a_mask_of_ones(recipe: str, home: Home, tmp_path: Path) -> None:
    so = unlearn(home, tmp_path / "so", method="so", recipe=recipe)
    ones = unlearn(home, tmp_path / "ones", sparsity=0.0, recipe=recipe)
    assert so.selected == ones.selected == {"heads": (8, 8), "filters": (48, 48)}
    assert so.rate == ones.rate
    assert_same_weights(tmp_path / "so", tmp_path / "ones")


@both_recipes
def test_a_dry_run_writes_nothing_and_tells_what_a_run_writes(
    recipe: str, bert: Home, tmp_path: Path
) -> None:
    before = snapshot(bert.folder)
    dry = unlearn(bert, tmp_path / "new", sparsity=0.5, recipe=recipe, dry_run=True)
    assert snapshot(bert.folder) == before
    assert list(tmp_path.iterdir()) == []
    nowhere = unlearn(bert, None, sparsity=0.5, recipe=recipe, dry_run=True)
    real = unlearn(bert, tmp_path / "new", sparsity=0.5, recipe=recipe)
    assert (dry.rate, dry.loss_after, dry.writes) == (real.rate, real.loss_after, real.writes)
    assert (nowhere.rate, nowhere.output) == (real.rate, None)
    assert (dry.dry_run, real.dry_run) == (True, False)
    assert real.writes.keys() == {path.name for path in (tmp_path / "new").iterdir()}
    for name, size in real.writes.items():
        written = (tmp_path / "new" / name).stat().st_size
        assert size is None or size == written or (name == "model.safetensors" and size < written)


def test_the_same_inputs_give_the_same_bytes(bert: Home, tmp_path: Path) -> None:
    train, forget = bert.path("train.jsonl"), bert.path("ids.txt")
    speu_cli.fisher(bert.model, train, tmp_path / "fisher", holdout=bert.path("dev.jsonl"))
    speu_cli.mask(
        bert.model, bert.folder / "fisher", tmp_path / "mask", data=train, forget=forget, sparsity=0.75
    )
    for name in ("fisher", "mask"):
        assert (tmp_path / name).read_bytes() == (bert.folder / name).read_bytes()
    for recipe in ("default", "paper"):
        one, two = tmp_path / f"{recipe}-one", tmp_path / f"{recipe}-two"
        unlearn(bert, one, sparsity=0.5, recipe=recipe)
        unlearn(bert, two, sparsity=0.5, recipe=recipe)
        assert snapshot(one) == snapshot(two)


def test_what_looks_unseen_is_left_alone(bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, tmp_path / "new", target_loss=1e-9, max_overshoot=1e12)
    assert result.rate == 0.0
    assert result.loss_after == result.loss_before
    assert result.note is not None
    assert "unseen already" in result.note
    assert_same_weights(tmp_path / "new", bert.model)


def test_the_record_of_a_new_model(bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, tmp_path / "new", sparsity=0.5, damping=0.2, recipe="paper")
    record = read_record(tmp_path / "new")
    assert record is not None
    assert record["format"], record["kind"] == ("speu", "unlearning")
    before, after = load_checkpoint(bert.model).identity, load_checkpoint(tmp_path / "new").identity
    assert (record["model_before"], record["model_after"]) == (vars(before), vars(after))
    assert before.weights != after.weights
    assert record["inputs"] == {
        "statistics": read_artifact(bert.folder / "fisher").digest,
        "mask": None,
    }
    assert record["forget"]["count"] == FORGET
    assert (record["examples_in_step"], record["remaining"]) == (result.examples_in_step, TRAIN - FORGET)
    assert (record["rate"], record["method"]) == (result.rate, "spe-so")
    assert (record["loss_before"], record["loss_after"]) == (result.loss_before, result.loss_after)
    assert record["step"]["damping"] == 0.2
    assert record["mask"] == {
        "sparsity": 0.5,
        "kinds": "both",
        "curvature": "total",
        "rounds": None,
        "objective": "mlr",
        "within": None,
        "kv": "any",
    }
    assert record["selected"] == {"heads": [4, 8], "filters": [24, 48]}
    assert record["encoding"]["task"] == "classification"
    text = (tmp_path / "new" / RECORD_NAME).read_text()
    assert str(tmp_path) not in text, "a path is in the record"
    assert str(bert.folder) not in text, "a path is in the record"


def test_ids_and_exclude_are_two_ways_to_say_the_same(bert: Home, tmp_path: Path) -> None:
    ids = [row["id"] for row in bert.rows("train.jsonl")]
    chosen = str(write_ids(tmp_path / "chosen", ids[10:]))
    excluded = str(write_ids(tmp_path / "excluded", ids[:10]))
    train = bert.path("train.jsonl")
    by_ids = speu_cli.fisher(bert.model, train, tmp_path / "by-ids", ids=chosen)
    speu_cli.fisher(bert.model, train, tmp_path / "by-exclude", exclude=excluded)
    assert (by_ids.examples, by_ids.used, by_ids.unseen_loss) == (TRAIN - 10, TRAIN - 10, None)
    assert (tmp_path / "by-ids").read_bytes() == (tmp_path / "by-exclude").read_bytes()
    # The set is now smaller than the file: an id outside it was never trained on.
    with pytest.raises(InputError, match="but the statistics exclude them: 'row-0-0'"):
        speu_cli.unlearn(
            bert.model, tmp_path / "by-ids", train, bert.path("ids.txt"), tmp_path / "new", target_loss=1.0
        )
    assert not (tmp_path / "new").exists()


def test_a_sample(bert: Home, tmp_path: Path) -> None:
    train, dev = bert.path("train.jsonl"), bert.path("dev.jsonl")

    def sampled(name: str, seed: int) -> bytes:
        made = speu_cli.fisher(bert.model, train, tmp_path / name, holdout=dev, max_examples=20, seed=seed)
        assert (made.examples, made.used) == (TRAIN, 20)
        return (tmp_path / name).read_bytes()

    assert sampled("one", 3) == sampled("two", 3) != sampled("three", 4)
    artifact = read_artifact(tmp_path / "one")
    assert artifact.record["data"] == {"count": TRAIN, "used": 20, "planned": 20, "seed": 3}
    assert int(artifact.tensors["used"].sum()) == 20
    ids = bert.path("ids.txt")
    result = speu_cli.unlearn(bert.model, tmp_path / "one", train, ids, tmp_path / "new", sparsity=0.5)
    assert result.remaining_examples == TRAIN - FORGET
    assert result.loss_after > result.loss_before


def test_data_in_another_order_or_with_further_rows_is_the_same_data(bert: Home, tmp_path: Path) -> None:
    rows = bert.rows("train.jsonl")
    more = [*rows[::-1], {"id": "new", "text": "word1", "label": 0}]
    write_rows(tmp_path / "more.jsonl", more)
    fisher, ids = bert.folder / "fisher", bert.path("ids.txt")
    speu_cli.unlearn(bert.model, fisher, str(tmp_path / "more.jsonl"), ids, tmp_path / "more", sparsity=0.5)
    unlearn(bert, tmp_path / "plain", sparsity=0.5)
    assert snapshot(tmp_path / "more") == snapshot(tmp_path / "plain")


def test_batches_do_not_matter(bert: Home, tmp_path: Path) -> None:
    """Up to rounding: the selection is the same, the numbers nearly."""
    runtime = speu_cli.Runtime(batch_tokens=16)
    train, dev = bert.path("train.jsonl"), bert.path("dev.jsonl")
    speu_cli.fisher(bert.model, train, tmp_path / "small", holdout=dev, runtime=runtime)
    one, other = (read_artifact(path).tensors for path in (bert.folder / "fisher", tmp_path / "small"))
    for name, tensor in one.items():
        if tensor.is_floating_point():
            scale = float(tensor.abs().max()) if len(tensor) else 0.0
            assert torch.allclose(tensor, other[name], rtol=1e-5, atol=1e-5 * scale), name


@pytest.mark.parametrize(("kinds", "selected"), [("heads", (4, 0)), ("filters", (0, 24))])
def test_one_kind_of_units(kinds: str, selected: tuple[int, int], bert: Home, tmp_path: Path) -> None:
    result = unlearn(bert, None, dry_run=True, kinds=kinds, sparsity=0.5)
    assert result.selected == {"heads": (selected[0], 8), "filters": (selected[1], 48)}


def test_a_mask_for_any_request_fits_each(bert: Home, tmp_path: Path) -> None:
    made = speu_cli.mask(bert.model, bert.folder / "fisher", tmp_path / "mask", sparsity=0.5)
    assert made.forget_examples is None
    assert made.objective_after <= made.objective_before
    result = unlearn(bert, tmp_path / "new", mask=tmp_path / "mask")
    assert result.selected == made.selected
    assert (tmp_path / "new").exists()


def test_a_model_that_has_forgotten_is_another_model(bert: Home, tmp_path: Path) -> None:
    first = unlearn(bert, tmp_path / "new", sparsity=0.5)
    fisher, train, ids = bert.folder / "fisher", bert.path("train.jsonl"), bert.path("ids.txt")
    with pytest.raises(ArtifactError, match="belongs to another model: its weights"):
        speu_cli.unlearn(tmp_path / "new", fisher, train, ids, tmp_path / "newer")
    speu_cli.fisher(tmp_path / "new", train, tmp_path / "fisher", holdout=bert.path("dev.jsonl"))
    target = 1.2 * first.loss_after
    again = speu_cli.unlearn(
        tmp_path / "new",
        tmp_path / "fisher",
        train,
        ids,
        tmp_path / "newer",
        target_loss=target,
        sparsity=0.5,
    )
    assert again.loss_before == pytest.approx(first.loss_after, rel=1e-5)
    assert again.rate > 0
    assert (tmp_path / "newer" / RECORD_NAME).exists()


def test_a_folder_is_replaced_only_by_force(bert: Home, tmp_path: Path) -> None:
    unlearn(bert, tmp_path / "new", sparsity=0.5)
    before = snapshot(tmp_path)
    with pytest.raises(OutputExistsError):
        unlearn(bert, tmp_path / "new", sparsity=0.25)
    assert snapshot(tmp_path) == before
    unlearn(bert, tmp_path / "new", sparsity=0.25, runtime=speu_cli.Runtime(force=True))
    record = read_record(tmp_path / "new")
    assert record is not None
    assert record["mask"]["sparsity"] == 0.25


def test_inspect(bert: Home, tmp_path: Path) -> None:
    statistics = speu_cli.inspect(bert.folder / "fisher")
    facts = dict(statistics.summary)
    assert facts["examples"] == f"{TRAIN} of {TRAIN} in the sums"
    assert f"over {DEV} held-out examples" in facts["unseen"]
    mask = speu_cli.inspect(bert.folder / "mask", picture=tmp_path / "mask.png")
    facts = dict(mask.summary)
    assert facts["made for"] == f"{FORGET} forget examples"
    assert facts["heads"].startswith("2 of 8 updated, by layer: ")
    assert facts["filters"].startswith("12 of 48 updated, by layer: ")
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG\r\n")
    unlearn(bert, tmp_path / "new", sparsity=0.5)
    folder = speu_cli.inspect(tmp_path / "new")
    assert folder.record == read_record(tmp_path / "new")
    facts = dict(folder.summary)
    assert facts["heads"] == "4 of 8 (50 %) could change"
    assert facts["filters"] == "24 of 48 (50 %) could change"
    whole = sum(tensor.numel() for tensor in load_file(tmp_path / "new" / "model.safetensors").values())
    changed = folder.record["parameters_changed"]
    assert facts["parameters"].startswith(f"{changed:,} of {whole:,} (")
    assert [statistics.kind, mask.kind, folder.kind] == ["statistics", "mask", "unlearning"]
    assert speu_cli.inspect(tmp_path / "new" / MASK_NAME).kind == "mask"


def test_inspect_refuses_what_it_cannot_show(bert: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only a mask can be drawn"):
        speu_cli.inspect(bert.folder / "fisher", picture=tmp_path / "mask.png")
    with pytest.raises(ArtifactError, match=f"has no {RECORD_NAME}"):
        speu_cli.inspect(bert.model)
    with pytest.raises(InputError, match="file not found"):
        speu_cli.inspect(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_through_the_command_line(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def speu(*arguments: str | Path) -> dict[str, Any]:
        assert main([str(argument) for argument in arguments] + ["--json"]) == 0
        out, _ = capsys.readouterr()
        assert out.count("\n") == 1
        result: dict[str, Any] = json.loads(out)
        return result

    model, train, ids = home.model, home.path("train.jsonl"), home.path("ids.txt")
    request = ["--fisher", tmp_path / "fisher", "--data", train, "--forget", ids, "--sparsity", "0.75"]
    made = speu(
        "fisher", model, "--data", train, "--holdout", home.path("dev.jsonl"), "-o", tmp_path / "fisher"
    )
    assert (made["examples"], made["holdout_examples"]) == (TRAIN, DEV)
    masked = speu("mask", model, *request, "-o", tmp_path / "mask")
    done = speu("unlearn", model, *request, "--recipe", home.folder / WIDE, "-o", tmp_path / "new")
    assert done["selected"] == masked["selected"] == {"heads": [2, 8], "filters": [12, 48]}
    for name in ("fisher", "mask"):
        assert (tmp_path / name).read_bytes() == (home.folder / name).read_bytes()
    sets = ["--data", train, "--forget", ids, "--test", home.path("test.jsonl")]
    measured = speu("eval", tmp_path / "new", *sets, "--original", model, "--reference", model)
    assert measured["model"]["loss.forget"]["value"] == pytest.approx(done["loss_after"], rel=1e-5)
    assert measured["gaps"] is not None
    assert speu("inspect", tmp_path / "fisher")["kind"] == "statistics"
