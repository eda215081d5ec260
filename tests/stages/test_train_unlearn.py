"""Forgetting by training, as the stages and the command do it."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from safetensors.torch import load_file

import speu_cli
from memorised import FORGET, TRAIN, Home, memorised, snapshot
from speu_cli.artifacts.format import read_artifact, write_artifact
from speu_cli.checkpoints.write import read_record
from speu_cli.cli.main import main
from speu_cli.errors import ArtifactError, InputError, OutputExistsError, SpeuError, UnsafeStepError
from speu_cli.progress import Silent
from speu_cli.stages.chosen_mask import MASK_NAME
from speu_cli.stages.retrain import retrain
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.train_unlearn import TrainUnlearnResult, train_unlearn
from speu_cli.structures.layout import find_layout
from speu_cli.structures.mask import Mask
from speu_cli.unlearning.objectives.registry import ObjectiveChoice
from speu_cli.unlearning.slices import pieces_of
from speu_cli.unlearning.training_choice import TrainingChoice
from tiny import tiny_model, tiny_rows, write_ids, write_rows
from tiny_encoder import tiny_encoder

T = TypeVar("T")

METHODS = ("ft", "sa", "ga", "gd", "npo")
FAST = TrainingChoice(epochs=2, learning_rate=1e-3, batch_size=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder in which the statistics and a mask are made."""
    home = memorised(tmp_path_factory.mktemp("home"))
    train, forget, fisher = home.path("train.jsonl"), home.path("ids.txt"), home.folder / "fisher"
    speu_cli.fisher(home.model, train, fisher, holdout=home.path("dev.jsonl"))
    for name, within in (("mask", None), ("entries", "wanda:0.5")):
        target = home.folder / name
        speu_cli.mask(home.model, fisher, target, data=train, forget=forget, sparsity=0.75, within=within)
    return home


def forget(home: Home, output: Path | None, method: Any, **settings: Any) -> TrainUnlearnResult:
    given = {"training": FAST, **settings}
    return train_unlearn(
        home.model, home.path("train.jsonl"), home.path("ids.txt"), output, method=method, **given
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def changed(one: Path, other: Path) -> dict[str, torch.Tensor]:
    mine, theirs = weights(one), weights(other)
    return {name: mine[name] != theirs[name] for name in mine if not torch.equal(mine[name], theirs[name])}


def record_of(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    assert record is not None
    return record


def selected_entries(mask: Path) -> dict[str, torch.Tensor]:
    """True for what a mask file lets change."""
    model = tiny_model("bert")
    layout = find_layout(model)
    chosen = Mask.zeros(layout)
    for key, flags in chosen.selected.items():
        flags[read_artifact(mask).tensors[f"selected/{key}"]] = True
    inside = {}
    for name, piece in pieces_of(chosen, model).items():
        inside[name] = torch.zeros_like(model.get_parameter(name), dtype=torch.bool)
        entries = read_artifact(mask).tensors.get(f"within/{name}")
        piece.put(inside[name], torch.ones_like(piece.take(inside[name])) if entries is None else entries)
    return inside


@pytest.mark.parametrize("method", METHODS)
def test_a_complete_checkpoint_with_what_was_done(home: Home, method: str, tmp_path: Path) -> None:
    before = snapshot(home.folder)
    result = forget(home, tmp_path / "new", method)
    assert snapshot(home.folder) == before
    assert (result.forget_examples, result.remaining_examples) == (FORGET, TRAIN - FORGET)
    assert result.parameters_changed == result.parameters_total
    assert result.selected is None
    assert result.steps == 2 * -(-(TRAIN - FORGET if method in {"ft", "sa"} else FORGET) // 3)
    assert result.loss_after is not None
    assert (result.loss_after > result.loss_before) == (method in {"ga", "gd", "npo"})
    assert changed(home.model, tmp_path / "new")
    record = record_of(tmp_path / "new")
    assert (record["kind"], record["method"], record["mask"]) == ("unlearning", method, None)
    assert record["training"]["learning_rate"] == 1e-3
    assert record["loss_after"] == result.loss_after
    assert record["inputs"] == {"statistics": None, "mask": None, "reference": None}
    assert str(tmp_path) not in json.dumps(record)
    assert set(result.writes) == {path.name for path in (tmp_path / "new").iterdir()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["mask", "entries"])
def test_with_a_mask_nothing_outside_of_it_moves(home: Home, method: str, name: str, tmp_path: Path) -> None:
    mask = home.folder / name
    result = forget(home, tmp_path / "new", method, mask=mask)
    inside = selected_entries(mask)
    moved = changed(home.model, tmp_path / "new")
    assert moved
    assert not any((entries & ~inside[name]).any() for name, entries in moved.items())
    assert result.parameters_changed == sum(int(entries.sum()) for entries in inside.values())
    assert result.selected == {"heads": (2, 8), "filters": (12, 48)}
    record = record_of(tmp_path / "new")
    assert record["inputs"]["mask"] == read_artifact(mask).digest
    assert record["mask"] == read_artifact(mask).record["settings"]
    assert (tmp_path / "new" / MASK_NAME).read_bytes() == mask.read_bytes()


def test_the_defaults_are_the_papers(home: Home) -> None:
    for mask, rate in ((None, 1e-5), (home.folder / "mask", 2e-4)):
        result = forget(home, None, "npo", dry_run=True, mask=mask, training=None)
        assert (result.epochs, result.learning_rate, result.steps) == (5, rate, 5)
    settings = TrainingChoice().settings(masked=False)
    assert (settings.weight_decay, settings.batch_size, settings.schedule) == (0.01, 32, "linear")


def test_the_same_call_gives_the_same_files(home: Home, tmp_path: Path) -> None:
    for name in ("one", "two"):
        forget(home, tmp_path / name, "gd", mask=home.folder / "mask")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_settings_of_the_objective_are_used_and_recorded(home: Home, tmp_path: Path) -> None:
    forget(home, tmp_path / "one", "sa", objective=ObjectiveChoice(gamma=0.1, gamma_schedule="linear"))
    forget(home, tmp_path / "two", "sa")
    assert record_of(tmp_path / "one")["objective"] == {"gamma": 0.1, "gamma_schedule": "linear"}
    assert record_of(tmp_path / "two")["objective"] == {"gamma": 5e-5, "gamma_schedule": "constant"}
    assert weights(tmp_path / "one")["classifier.weight"].abs().sum() < (
        weights(tmp_path / "two")["classifier.weight"].abs().sum()
    )


def test_a_dry_run_writes_nothing(home: Home, tmp_path: Path) -> None:
    before = snapshot(home.folder)
    result = forget(home, None, "npo", dry_run=True, reference=tmp_path / "reference")
    assert result.loss_after is None
    assert result.steps == 4
    assert snapshot(home.folder) == before
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_half_precision_keeps_its_type_and_all_else(home: Home, tmp_path: Path) -> None:
    half = memorised(tmp_path / "half")
    model = tiny_model("bert").to(torch.bfloat16)
    model.save_pretrained(half.model)
    train, fisher, mask = half.path("train.jsonl"), half.folder / "fisher", half.folder / "mask"
    speu_cli.fisher(half.model, train, fisher)
    speu_cli.mask(half.model, fisher, mask, sparsity=0.75)
    forget(half, tmp_path / "new", "ga", mask=mask)
    assert all(tensor.dtype == torch.bfloat16 for tensor in weights(tmp_path / "new").values())
    moved, inside = changed(half.model, tmp_path / "new"), selected_entries(mask)
    assert moved
    assert not any((entries & ~inside[name]).any() for name, entries in moved.items())


class OneAtATime(Silent):
    """A progress that shows one thing at a time, as a terminal does."""

    shown = False

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        assert not self.shown
        self.shown = True
        try:
            yield from items
        finally:
            self.shown = False


def test_it_stops_when_the_forget_set_looks_unseen(home: Home, tmp_path: Path) -> None:
    training = TrainingChoice(epochs=100, learning_rate=2e-4, batch_size=3)
    result = forget(
        home,
        tmp_path / "new",
        "ga",
        training=training,
        fisher=home.folder / "fisher",
        stop_when_unseen=True,
        runtime=Runtime(progress=OneAtATime()),
    )
    assert result.stopped
    assert result.steps < 200
    assert result.target_loss is not None and result.loss_after is not None
    assert result.loss_before < result.target_loss <= result.loss_after < 1.5 * result.target_loss
    record = record_of(tmp_path / "new")
    assert record["inputs"]["statistics"] == read_artifact(home.folder / "fisher").digest
    assert (record["stopped"], record["target_loss"]) == (True, result.target_loss)


def test_a_forget_set_that_looks_unseen_already_is_left_alone(home: Home, tmp_path: Path) -> None:
    result = forget(home, tmp_path / "new", "ga", target_loss=1e-3, stop_when_unseen=True)
    assert (result.steps, result.loss_after) == (0, result.loss_before)
    assert result.note is not None and "unseen already" in result.note
    assert not changed(home.model, tmp_path / "new")


def test_a_loss_far_past_the_target_is_told(home: Home, tmp_path: Path) -> None:
    training = TrainingChoice(epochs=40, learning_rate=1e-2)
    result = forget(home, tmp_path / "new", "ga", target_loss=0.7, training=training)
    assert result.note is not None and "more than 2 times the target" in result.note


def test_reference_values_are_written_and_used_again(home: Home, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    forget(home, tmp_path / "none", "npo")
    forget(home, tmp_path / "written", "npo", reference=reference)
    written = reference.read_bytes()
    forget(home, tmp_path / "read", "npo", reference=reference)
    assert reference.read_bytes() == written
    for name in ("written", "read"):
        assert not changed(tmp_path / "none", tmp_path / name)
        assert record_of(tmp_path / name)["inputs"]["reference"] == read_artifact(reference).digest
    artifact = read_artifact(reference, "reference")
    assert artifact.record["data"] == {"count": FORGET}
    assert (artifact.tensors["log_likelihoods/forget"] < 0).all()


def test_a_reference_of_more_examples_serves_fewer(home: Home, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    forget(home, tmp_path / "one", "npo", reference=reference)
    fewer = write_ids(tmp_path / "ids.txt", [row["id"] for row in home.rows("train.jsonl")[1:3]])
    data = home.path("train.jsonl")
    result = train_unlearn(
        home.model, data, str(fewer), tmp_path / "two", method="npo", reference=reference, training=FAST
    )
    assert result.forget_examples == 2


def of_another_model(home: Home, folder: Path) -> Home:
    other = memorised(folder)
    tiny_model("bert", seed=1).save_pretrained(other.model)
    return other


def of_another_label(home: Home, folder: Path) -> Home:
    other = memorised(folder)
    rows = other.rows("train.jsonl")
    rows[0]["label"] = 1 - rows[0]["label"]
    write_rows(other.folder / "train.jsonl", rows)
    return other


@pytest.mark.parametrize("change", [of_another_model, of_another_label])
def test_a_reference_of_something_else_is_refused(
    home: Home, change: Callable[[Home, Path], Home], tmp_path: Path
) -> None:
    forget(home, tmp_path / "new", "npo", reference=tmp_path / "reference")
    with pytest.raises(ArtifactError, match=r"another model|other examples") as caught:
        forget(change(home, tmp_path / "other"), tmp_path / "x", "npo", reference=tmp_path / "reference")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "x").exists()


def test_a_reference_of_another_encoding_is_refused(home: Home, tmp_path: Path) -> None:
    forget(home, tmp_path / "new", "npo", reference=tmp_path / "reference")
    choice = speu_cli.DataChoice(max_length=7)
    with pytest.raises(ArtifactError, match="another encoding: max_length"):
        forget(home, tmp_path / "x", "npo", reference=tmp_path / "reference", choice=choice)


def test_a_mask_of_another_model_is_refused(home: Home, tmp_path: Path) -> None:
    other = of_another_model(home, tmp_path / "other")
    with pytest.raises(ArtifactError, match="another model"):
        forget(other, tmp_path / "x", "ga", mask=home.folder / "mask")


def emptied(mask: Path, target: Path) -> Path:
    """A mask file with no unit."""
    artifact = read_artifact(mask)
    added = {"format", "version", "kind", "sha256"}
    kept = {key: value for key, value in artifact.record.items() if key not in added}
    tensors = {
        name: tensor[:0] if name.startswith("selected/") else tensor
        for name, tensor in artifact.tensors.items()
    }
    write_artifact(target, "mask", kept, tensors, force=False)
    return target


def test_a_mask_of_nothing_is_refused(home: Home, tmp_path: Path) -> None:
    nothing = emptied(home.folder / "mask", tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="no unit"):
        forget(home, tmp_path / "x", "ga", mask=nothing)


@pytest.mark.parametrize(
    ("method", "settings", "told"),
    [
        ("dpo", {}, "teaches a model to write another answer"),
        ("ga", {"reference": Path("r")}, "takes no --reference"),
        ("npo", {"answers": Path("a")}, "takes no --answers"),
        ("ga", {"stop_when_unseen": True}, "not known"),
        ("ga", {"target_loss": -1.0}, "--target-loss"),
        ("ga", {"objective": ObjectiveChoice(beta=1.0)}, "takes no --beta"),
        ("spe-so", {}, "no training method"),
        ("ga", {"runtime": Runtime(device="cuda:1")}, "first device"),
    ],
)
def test_what_cannot_be_served_is_refused(
    home: Home, method: str, settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        forget(home, tmp_path / "new", method, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0.0},
        {"learning_rate": -1.0},
        {"batch_size": 0},
        {"weight_decay": -0.1},
        {"schedule": "cosine"},
    ],
)
def test_training_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TrainingChoice(**wrong)


def test_outputs_are_not_overwritten(home: Home, tmp_path: Path) -> None:
    forget(home, tmp_path / "new", "ga")
    with pytest.raises(OutputExistsError):
        forget(home, tmp_path / "new", "ga")
    with pytest.raises(InputError, match="no output"):
        forget(home, None, "ga")
    with pytest.raises(SpeuError):
        forget(home, home.model, "ga", runtime=Runtime(force=True))


def test_a_training_that_diverges_writes_nothing(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UnsafeStepError, match="diverged"):
        forget(home, tmp_path / "new", "ga", training=TrainingChoice(learning_rate=1e30))
    assert list(tmp_path.iterdir()) == []


def test_retraining_is_train_without_the_forget_set(home: Home, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(12)))
    ids = str(write_ids(tmp_path / "ids.txt", ["row-0-1", "row-0-3"]))
    base = tiny_encoder(tmp_path / "base")
    how: dict[str, Any] = {"epochs": 2.0, "learning_rate": 1e-3, "batch_size": 4, "weight_decay": 0.1}
    speu_cli.train(base, data, tmp_path / "model", **how)
    speu_cli.train(base, data, tmp_path / "expected", exclude=ids, **how)
    result = retrain(tmp_path / "model", base, data, ids, tmp_path / "new")  # settings from the record
    assert snapshot(tmp_path / "new") == snapshot(tmp_path / "expected")
    assert (result.method, result.forget_examples, result.remaining_examples) == ("retrain", 2, 10)
    assert (result.epochs, result.learning_rate, result.steps) == (2, 1e-3, 6)
    assert result.loss_after is not None
    other = retrain(
        tmp_path / "model", base, data, ids, tmp_path / "other", training=TrainingChoice(epochs=1, seed=1)
    )
    assert (other.epochs, other.learning_rate, other.steps) == (1, 1e-3, 3)
    dry = retrain(tmp_path / "model", base, data, ids, None, dry_run=True)
    assert (dry.loss_after, dry.loss_before, dry.steps) == (None, result.loss_before, result.steps)
    with pytest.raises(InputError, match="no output"):
        retrain(tmp_path / "model", base, data, ids, None)


@pytest.fixture
def here(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The command runs within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("speu_cli.cli.output.quiet_libraries", lambda **_: None)
    return home


def command(home: Home, method: str, *options: str) -> list[str]:
    inputs = ["--data", home.path("train.jsonl"), "--forget", home.path("ids.txt")]
    return ["unlearn", str(home.model), "--method", method, *inputs, *options]


@pytest.mark.parametrize("method", METHODS)
def test_the_command(here: Home, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast = ["--epochs", "1", "--learning-rate", "1e-3", "--mask", str(here.folder / "mask")]
    assert main(command(here, method, *fast, "-o", "new", "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["method"], result["learning_rate"]) == (method, 1e-3)
    assert result["parameters_changed"] < result["parameters_total"]
    assert changed(here.model, tmp_path / "new")


def test_the_command_as_text_and_dry(here: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(here, "gd", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert "not trained" in out
    assert "would write" in out
    assert list(tmp_path.iterdir()) == []


def test_the_command_retrains_with_ids_from_standard_input(
    here: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (here.folder / "ids.txt").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ids)))
    base = str(tiny_encoder(tmp_path / "base"))
    options = ["--base", base, "--epochs", "1", "-o", "new", "--json"]
    arguments = ["unlearn", str(here.model), "--method", "retrain", "--data", here.path("train.jsonl")]
    assert main([*arguments, "--forget", "-", *options]) == 0
    assert json.loads(capsys.readouterr().out)["remaining_examples"] == TRAIN - FORGET
    assert record_of(tmp_path / "new")["excluded"]["examples"] == FORGET


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("dpo", ["-o", "new"], "classification"),
        ("ga", ["-o", "new", "--rate", "1e-6"], "--rate is of the second-order step"),
        ("ga", ["-o", "new", "--base", "b"], "takes no --base"),
        ("ga", ["-o", "new", "--gamma", "1"], "takes no --gamma"),
        ("so", ["-o", "new", "--beta", "1"], "takes no --beta"),
        ("ga", ["-o", "new", "--request-id", "R"], "--request-id"),
        ("retrain", ["-o", "new"], "needs --base"),
        ("retrain", ["-o", "new", "--base", "b", "--mask", "m"], "takes no --mask"),
        ("retrain", ["-o", "new", "--base", "b", "--beta", "1"], "takes no --beta"),
        ("ga", [], "--output"),
    ],
)
def test_command_lines_that_cannot_be_served(
    here: Home,
    method: str,
    options: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(here, method, *options)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert len(err.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_a_state_settles_how_it_is_served(here: Home, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["unlearn", "--state", "s", "--forget", here.path("ids.txt"), "-o", "new"]
    for odd in (["--method", "ga"], ["--epochs", "2"]):
        assert main([*arguments, *odd]) == 2
        assert odd[0] in capsys.readouterr().err
