"""What a model has borne: drift, share, watched losses, and the advice to retrain."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from serving import begin, request

from memorised import Home
from speu_cli.data.columns import DataChoice
from speu_cli.data.selection import sample_flags
from speu_cli.errors import ArtifactError, InputError
from speu_cli.stages.requests.serve import serve_request
from speu_cli.stages.requests.start import WatchChoice
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.unlearning.requests.settled import Mode
from speu_cli.unlearning.requests.state import open_state
from tiny import write_ids, write_rows


@pytest.mark.parametrize("mode", ["aided", "free"])
def test_drift_is_the_distance_of_the_written_model_from_the_first(
    home: Home, tmp_path: Path, mode: Mode
) -> None:
    state = begin(home, tmp_path / "state", mode=mode)
    request(state, ["row-0-0"], "first")
    drift = request(state, ["row-0-1"], "second").capacity.drift
    original = load_file(home.model / "model.safetensors")
    found = load_file(tmp_path / "second" / "model.safetensors")
    layout = open_session(home.model, DataChoice(), Runtime()).layout
    layers = [0.0, 0.0]
    for name, (group, _) in layout.parameters.items():
        layers[group.layer] += float((found[name].double() - original[name].double()).square().sum())
    assert np.allclose(drift.layers, np.sqrt(layers), rtol=1e-12)
    assert drift.norm == pytest.approx(sum(layers) ** 0.5, rel=1e-12)
    size = torch.cat([original[name].flatten() for name in layout.parameters]).double().norm()
    assert drift.share == pytest.approx(drift.norm / float(size), rel=1e-12)
    assert drift.norm > 0


def test_watched_losses_are_those_of_the_models(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", watch=WatchChoice(holdout=home.path("dev.jsonl")))
    capacity = request(state, ["row-0-0", "row-0-1"], "model").capacity
    assert capacity.holdout is not None and capacity.remaining is not None
    for level, name, left_out in (
        (capacity.holdout, "dev.jsonl", 0),
        (capacity.remaining, "train.jsonl", 2),
    ):
        for folder, found in ((home.model, level.start), (tmp_path / "model", level.after)):
            session = open_session(folder, DataChoice(), Runtime())
            examples = session.read(home.path(name))[left_out:]
            losses = session.outcomes(session.encode(examples), "").losses
            assert found == pytest.approx(losses.mean(), rel=1e-5)
            assert level.examples == len(examples)
    assert capacity.forgotten_share == 2 / 40


def test_a_dry_run_shows_what_is_watched(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", watch=WatchChoice(holdout=home.path("dev.jsonl"), examples=5))
    write_ids(tmp_path / "asked.txt", ["row-0-0"])
    dry = serve_request(state, str(tmp_path / "asked.txt"), None, dry_run=True)
    assert dry.capacity.holdout is not None
    assert dry.capacity.holdout.examples == 5
    assert dry.capacity.holdout.after != dry.capacity.holdout.start
    assert dry.capacity == request(state, ["row-0-0"], "model").capacity


def test_nothing_is_watched_if_not_wanted(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", watch=WatchChoice(home.path("dev.jsonl"), examples=0))
    capacity = request(state, ["row-0-0"], "model").capacity
    assert (capacity.holdout, capacity.remaining) == (None, None)


def test_a_threshold_is_advice_once_it_is_reached(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", watch=WatchChoice(retrain_when=("forgotten_share>=0.05",)))
    assert request(state, ["row-0-0"], "first", request_id="R-1").retrain == []
    second = request(state, ["row-0-1"], "second", request_id="R-2")
    assert second.retrain == ["forgotten_share>=0.05 (0.05 is >= 0.05)"]
    assert (tmp_path / "second" / "model.safetensors").is_file()
    assert request(state, ["row-0-1"], "second", request_id="R-2").retrain == second.retrain
    with open_state(state) as opened:
        assert [entry.record["retrain"] for entry in opened.requests] == [[], second.retrain]


def test_a_threshold_that_cannot_be_told_any_more_is_reached(home: Home, tmp_path: Path) -> None:
    gates = ("remaining.rise>100",)
    state = begin(home, tmp_path / "state", watch=WatchChoice(examples=1, retrain_when=gates))
    ids = [row["id"] for row in home.rows("train.jsonl")]
    watched = ids[int(sample_flags(len(ids), 1, seed=0).argmax())]
    others = [one for one in ids if one != watched]
    assert request(state, others[:2], "first").retrain == []
    expected = ["remaining.rise>100 (no metric remaining.rise was computed)"]
    assert request(state, [watched], "second").retrain == expected


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("drift>1", "no value 'drift'"),
        ("drift.norm", "expected METRIC OP NUMBER"),
        ("drift.norm.high>1", "expected a plain number as the bound"),
        ("drift.share>1%", "expected a plain number as the bound"),
        ("holdout.rise>1", "no holdout examples are watched"),
    ],
)
def test_a_threshold_on_nothing_is_refused(home: Home, tmp_path: Path, gate: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        begin(home, tmp_path / "state", watch=WatchChoice(retrain_when=(gate,)))
    assert not (tmp_path / "state").exists()


def test_another_held_out_set_is_refused(home: Home, tmp_path: Path) -> None:
    rows = home.rows("dev.jsonl")
    write_rows(tmp_path / "dev.jsonl", rows)
    state = begin(home, tmp_path / "state", watch=WatchChoice(str(tmp_path / "dev.jsonl")))
    write_rows(tmp_path / "dev.jsonl", rows[1:])
    with pytest.raises(ArtifactError, match="not the held-out set"):
        request(state, ["row-0-0"], "model")
    assert not (tmp_path / "model").exists()


def test_what_is_watched_is_verified(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    path = state / "watched.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [line.partition(":")[0] for line in verify_requests(state).wrong] == ["watched losses"]
    with pytest.raises(ArtifactError):
        request(state, ["row-0-0"], "model")
