"""Requests that keep coming, memory-aided: the same model in any number of steps and any order (law 7)."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from memorised import Home, memorised, snapshot
from speu_cli.errors import ArtifactError, InputError, LockedError
from speu_cli.stages.fisher import fisher
from speu_cli.stages.requests.method import Method
from speu_cli.stages.requests.serve import ServedResult, serve
from speu_cli.stages.requests.start import StepChoice, start_requests
from speu_cli.stages.requests.verify import verify
from speu_cli.unlearning.requests.ledger import read_ledger
from speu_cli.unlearning.requests.state import open_state
from tiny import write_ids

RATE = 1e-4
FIXED = StepChoice(rate=RATE, max_overshoot=100)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A model with its statistics."""
    made = memorised(tmp_path_factory.mktemp("aided"))
    fisher(
        made.model,
        made.path("train.jsonl"),
        made.folder / "fisher.safetensors",
        holdout=made.path("dev.jsonl"),
    )
    return made


def begin(home: Home, state: Path, method: Method = "spe-so", step: StepChoice | None = FIXED) -> Path:
    start_requests(
        state,
        home.model,
        home.folder / "fisher.safetensors",
        home.path("train.jsonl"),
        method=method,
        step=step,
    )
    return state


def request(state: Path, ids: list[str], output: str, **options: object) -> ServedResult:
    write_ids(state.parent / "asked.txt", ids)
    return serve(state, str(state.parent / "asked.txt"), state.parent / output, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["spe-so", "so"])
def test_any_steps_in_any_order_give_the_model_of_one_shot(
    home: Home, tmp_path: Path, method: Method
) -> None:
    """Law 7."""
    ids = [row["id"] for row in home.rows("train.jsonl")][:18]
    (tmp_path / "whole").mkdir()
    request(begin(home, tmp_path / "whole" / "state", method), ids, "model")
    expected = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    original = load_file(home.model / "model.safetensors")
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        state = begin(home, folder / "state", method)
        for number, part in enumerate(parts(ids, seed)):
            request(state, part, f"model-{number}")
        found = load_file(folder / f"model-{number}" / "model.safetensors")
        assert distance(found, expected) <= 1e-6
        assert all(
            distance({n: found[n]}, {n: expected[n]}) <= 1e-5 for n in expected
        )  # as law 1, in float32
    assert distance(original, expected) > 1e-3  # the step itself is far above that


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """‖θ − θ'‖ / ‖θ'‖."""
    off = sum(float((found[name].double() - tensor).square().sum()) for name, tensor in expected.items())
    size = sum(float(tensor.double().square().sum()) for tensor in expected.values())
    return (off / size) ** 0.5 if off else 0.0


def parts(ids: list[str], seed: int) -> Iterator[list[str]]:
    """Cut into requests of mixed sizes, in an order of the seed's."""
    left = random.Random(seed).sample(ids, len(ids))
    for size in (1, 7, 2, 5, 3):
        yield left[:size]
        left = left[size:]


def test_the_same_request_again_does_nothing(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    first = request(state, ["row-0-0", "row-0-1"], "model", request_id="R-1")
    before = snapshot(tmp_path)
    again = request(state, ["row-0-1", "row-0-0"], "model", request_id="R-1")
    assert (again.already_done, first.already_done) == (True, False)
    assert again.ledger_head == first.ledger_head
    assert {k: v for k, v in snapshot(tmp_path).items() if k != "asked.txt"} == {
        k: v for k, v in before.items() if k != "asked.txt"
    }


def test_a_name_is_not_taken_by_other_ids(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "model", request_id="R-1")
    with pytest.raises(InputError, match="R-1 was served with other ids"):
        request(state, ["row-0-1"], "other", request_id="R-1")
    assert not (tmp_path / "other").exists()


def test_what_was_forgotten_before_is_not_counted_twice(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    first = request(state, ["row-0-0", "row-0-1"], "first")
    second = request(state, ["row-0-1", "row-0-2"], "second")
    assert (second.forgotten_before, second.forgotten_in_all) == (1, 3)
    assert "forgotten before" in second.notes[0]
    third = request(state, ["row-0-0", "row-0-2"], "third")
    assert (third.forgotten_before, third.forgotten_in_all, third.loss_before) == (2, 3, None)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("second", "third")]
    assert models[0] == models[1]
    assert [first.request_id[-3:], second.request_id[-3:], third.request_id[-3:]] == ["001", "002", "003"]


def test_the_rate_is_found_on_the_new_examples(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state", step=None)
    for number in range(2):
        result = request(state, [f"row-0-{2 * number}", f"row-0-{2 * number + 1}"], f"model-{number}")
        assert result.loss_before is not None and result.loss_after is not None
        assert result.loss_after > result.loss_before
    assert verify(state).wrong == []


def test_a_dry_run_tells_the_same_and_writes_nothing(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    write_ids(tmp_path / "asked.txt", ["row-0-0"])
    before = snapshot(tmp_path)
    dry = serve(state, str(tmp_path / "asked.txt"), None, dry_run=True)
    assert snapshot(tmp_path) == before
    real = request(state, ["row-0-0"], "model")
    assert (dry.loss_after, dry.rate, dry.selected) == (real.loss_after, real.rate, real.selected)


def test_the_ledger_tells_what_was_done_and_no_ids(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0", "row-0-1"], "model", request_id="R-7")
    text = (state / "ledger.jsonl").read_text()
    assert "row-0-0" not in text and "row-0-1" not in text
    with open_state(state) as opened:
        record = opened.requests[0].record
        assert sorted(record["forget"]["ids"]) == opened.salt.hashes(["row-0-0", "row-0-1"])
        assert record["model_before"] == opened.settings.identity
        assert record["model_after"] != record["model_before"]
        assert opened.last_model == record["model_after"]


def test_everything_verifies_and_every_change_is_named(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "model", request_id="R-1")
    assert verify(state).wrong == verify(state).gone == []
    weights = tmp_path / "model" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (state / "mask.safetensors").write_bytes(b"")
    assert [line.partition(":")[0] for line in verify(state).wrong] == ["mask", "model of R-1"]


def test_what_was_not_recorded_did_not_happen(home: Home, tmp_path: Path) -> None:
    """A run that ends before its entry leaves a model, which the next try of the request may replace."""
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "model", request_id="R-1")
    ledger = state / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(lines[0] + lines[1][:-1])
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    request(state, ["row-0-0"], "model", request_id="R-1")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    assert len(read_ledger(ledger).entries) == 2
    assert verify(state).wrong == []


def test_a_state_in_use_is_not_opened_twice(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    with open_state(state), pytest.raises(LockedError, match="another run is using"):
        request(state, ["row-0-0"], "model")


@pytest.mark.parametrize(
    ("name", "change"),
    [("state.json", b'"examples": 41'), ("salt", b"0" * 64), ("ledger.jsonl", b"{}\n")],
)
def test_a_changed_state_is_refused(home: Home, tmp_path: Path, name: str, change: bytes) -> None:
    state = begin(home, tmp_path / "state")
    path = state / name
    path.write_bytes(path.read_bytes().replace(b'"examples": 40', change) if name == "state.json" else change)
    with pytest.raises(ArtifactError):
        request(state, ["row-0-0"], "model")
    assert not (tmp_path / "model").exists()


def test_a_newer_state_is_refused(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    fields = json.loads((state / "state.json").read_text()) | {"version": 2}
    (state / "state.json").write_text(json.dumps(fields))
    with pytest.raises(ArtifactError, match="version 2, this speu reads"):
        request(state, ["row-0-0"], "model")


def test_a_state_that_follows_another_names_its_head(home: Home, tmp_path: Path) -> None:
    first = begin(home, tmp_path / "state")
    head = request(first, ["row-0-0"], "model").ledger_head
    fisher_file = home.folder / "fisher.safetensors"
    second = start_requests(
        tmp_path / "next", home.model, fisher_file, home.path("train.jsonl"), step=FIXED, continues=first
    )
    assert (
        second.continues
        == head
        == read_ledger(tmp_path / "next" / "ledger.jsonl").entries[0].record["continues"]
    )


def test_the_salt_is_for_its_owner_alone(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    assert (state / "salt").stat().st_mode & 0o077 == 0
