"""Requests, memory-free: each from the last model, with statistics of what remains (Eq. 11)."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from serving import begin, distance, request

from memorised import Home
from oracles import statistics as oracle
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.requests.serve import serve_request
from speu_cli.stages.requests.start import StepChoice, start_requests
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.stages.unlearn import unlearn
from speu_cli.unlearning.requests.state import open_state
from tiny import write_ids, write_rows

RATE = 1e-4


def test_a_request_starts_from_the_last_model_and_what_remains(home: Home, tmp_path: Path) -> None:
    """θ^{t−1} + η·g_f/(F_r/n_r + λ), all at θ^{t−1}, per-example gradients in float64 (Eq. 11, Eq. 2)."""
    state = begin(home, tmp_path / "state", "so", mode="free")
    request(state, ["row-0-0", "row-0-1"], "first")
    request(state, ["row-0-2"], "second")
    found = load_file(tmp_path / "second" / "model.safetensors")

    session = open_session(tmp_path / "first", DataChoice(), Runtime())
    examples = session.read(home.path("train.jsonl"))
    model, layout = session.checkpoint.model, session.layout
    gradients = dict(
        zip(
            examples.ids,
            (g for g, _ in oracle.example_gradients(model, layout, session.task, session.encode(examples))),
            strict=True,
        )
    )
    pull = gradients.pop("row-0-2")
    del gradients["row-0-0"], gradients["row-0-1"]
    for name in layout.parameters:
        curvature = torch.stack([g[name] ** 2 for g in gradients.values()]).mean(0)
        step = RATE * pull[name] / (curvature + 0.1 * curvature.mean())
        expected = model.get_parameter(name).detach().double() + step
        assert distance({name: found[name]}, {name: expected}) <= 1e-5, name


def test_the_first_request_is_that_of_unlearn(home: Home, tmp_path: Path) -> None:
    """At θ* the statistics of what remains are those of the training set less those of the request."""
    state = begin(home, tmp_path / "state", mode="free")
    request(state, ["row-0-3", "row-0-4"], "model")
    unlearn(
        home.model,
        home.folder / "fisher.safetensors",
        home.path("train.jsonl"),
        str(tmp_path / "asked.txt"),
        tmp_path / "plain",
        rate=RATE,
        max_overshoot=100,
    )
    models = [load_file(tmp_path / name / "model.safetensors") for name in ("model", "plain")]
    original = load_file(home.model / "model.safetensors")
    assert distance(models[0], models[1]) <= 1e-6
    assert distance(original, models[1]) > 1e-4


def test_nothing_of_the_forgotten_is_kept(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", mode="free")
    before = {path.name for path in state.iterdir()}
    request(state, ["row-0-3"], "model")
    assert {path.name for path in state.iterdir() if path.suffix != ".lock"} == before - {"state.lock"}
    assert verify_requests(state).wrong == []


def test_forgotten_rows_may_leave_the_data_and_others_may_not(home: Home, tmp_path: Path) -> None:
    rows = home.rows("train.jsonl")
    data = tmp_path / "train.jsonl"
    write_rows(data, rows)
    state = tmp_path / "state"
    start_requests(
        state,
        home.model,
        home.folder / "fisher.safetensors",
        str(data),
        mode="free",
        step=StepChoice(rate=RATE, max_overshoot=100),
    )
    request(state, ["row-0-0"], "first")
    write_rows(data, rows[1:])
    assert request(state, ["row-0-1"], "second").remaining_examples == len(rows) - 2
    write_rows(data, rows[1:-1])
    with pytest.raises(ArtifactError, match="has 36 of the remaining training examples, expected 37"):
        request(state, ["row-0-2"], "third")


def test_a_sample_is_recorded_and_the_same_again(home: Home, tmp_path: Path) -> None:
    models = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        state = begin(home, tmp_path / name / "state", mode="free", max_examples=7)
        request(state, ["row-0-0"], "model")
        models.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
        with open_state(state) as opened:
            record = opened.requests[0].record
        assert (record["counted"], record["remaining"]) == (7, 39)
    assert models[0] == models[1]


def test_a_model_that_was_moved_is_named_and_verified(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", mode="free")
    request(state, ["row-0-0"], "first")
    shutil.move(tmp_path / "first", tmp_path / "moved")
    write_ids(tmp_path / "asked.txt", ["row-0-1"])
    asked, output = str(tmp_path / "asked.txt"), tmp_path / "second"
    with pytest.raises(InputError, match="not found"):
        serve_request(state, asked, output)
    with pytest.raises(ArtifactError, match="belongs to another model"):
        serve_request(state, asked, output, model=home.model)
    assert serve_request(state, asked, output, model=tmp_path / "moved").forgotten_in_all == 2


def test_a_request_for_what_is_forgotten_leaves_the_model_as_it_is(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", mode="free")
    request(state, ["row-0-0"], "first")
    again = request(state, ["row-0-0"], "second")
    assert (again.rate, again.parameters_changed, again.forgotten_in_all) == (None, 0, 1)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_nothing_remains(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", mode="free")
    with pytest.raises(InputError, match="nothing remains"):
        request(state, [row["id"] for row in home.rows("train.jsonl")], "model")


def test_the_last_model_is_not_replaced(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", mode="free")
    request(state, ["row-0-0"], "first")
    write_ids(tmp_path / "asked.txt", ["row-0-1"])
    with pytest.raises(InputError, match="would replace the input"):
        serve_request(state, str(tmp_path / "asked.txt"), tmp_path / "first", runtime=Runtime(force=True))


def test_max_examples_is_for_free_requests(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--max-examples is for --mode free"):
        begin(home, tmp_path / "state", max_examples=3)
