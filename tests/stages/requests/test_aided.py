"""Requests that keep coming, memory-aided: the same model in any number of steps and any order (law 7)."""

import errno
import json
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from serving import FIXED, begin, distance, request

from memorised import Home, snapshot
from oracles import statistics as oracle
from speu_cli.artifacts.format import read_artifact
from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import ArtifactError, InputError, LockedError
from speu_cli.stages.fisher import fisher
from speu_cli.stages.inspect import inspect
from speu_cli.stages.mask import mask
from speu_cli.stages.requests.serve import serve_request
from speu_cli.stages.requests.start import start_requests
from speu_cli.stages.requests.verify import verify_requests
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.stages.unlearn import Method
from speu_cli.statistics.files import read_statistics
from speu_cli.unlearning.requests.ledger import read_ledger
from speu_cli.unlearning.requests.state import open_state
from tiny import write_ids


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
    assert verify_requests(state).wrong == []


def test_a_dry_run_tells_the_same_and_writes_nothing(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    write_ids(tmp_path / "asked.txt", ["row-0-0"])
    before = snapshot(tmp_path)
    dry = serve_request(state, str(tmp_path / "asked.txt"), None, dry_run=True)
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
    assert verify_requests(state).wrong == verify_requests(state).gone == []
    weights = tmp_path / "model" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (state / "mask.safetensors").write_bytes(b"")
    assert [line.partition(":")[0] for line in verify_requests(state).wrong] == ["mask", "model of R-1"]


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
    assert verify_requests(state).wrong == []


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


@pytest.mark.parametrize("record", [{"kind": "request", "id": "R-9"}, {"kind": "other"}])
def test_an_entry_of_something_else_is_refused(home: Home, tmp_path: Path, record: dict[str, object]) -> None:
    """Chained as it should be, but not what a request leaves."""
    state = begin(home, tmp_path / "state")
    read_ledger(state / "ledger.jsonl").append(record)
    with pytest.raises(ArtifactError, match="line 2: is not a request that was served"), open_state(state):
        pass


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


def test_each_request_keeps_its_own_rate(home: Home, tmp_path: Path) -> None:
    """Against θ* + Σ η_t·g_t / (F_r/n_r + λ), from per-example gradients in float64 (Eq. 12, Eq. 2)."""
    state = begin(home, tmp_path / "state", "so")
    served = {f"row-0-{number}": rate for number, rate in enumerate([3e-4, 3e-4, 3e-4, 1e-5, 1e-5])}
    request(state, ["row-0-0", "row-0-1", "row-0-2"], "first", rate=3e-4)
    request(state, ["row-0-3", "row-0-4"], "second", rate=1e-5)
    found = load_file(tmp_path / "second" / "model.safetensors")

    session = open_session(home.model, DataChoice(), Runtime())
    examples, layout = session.read(home.path("train.jsonl")), session.layout
    model = session.checkpoint.model
    original = {name: model.get_parameter(name).detach().double() for name in layout.parameters}
    gradients = [
        g for g, _ in oracle.example_gradients(model, layout, session.task, session.encode(examples))
    ]
    rates = [served.get(one, 0.0) for one in examples.ids]
    for name in layout.parameters:
        kept = [g[name] ** 2 for g, rate in zip(gradients, rates, strict=True) if not rate]
        curvature = torch.stack(kept).mean(0)
        pull = torch.stack([rate * g[name] for g, rate in zip(gradients, rates, strict=True)]).sum(0)
        expected = original[name] + pull / (curvature + 0.1 * curvature.mean())
        assert distance({name: found[name]}, {name: expected}) <= 1e-5, name


def test_a_call_that_fails_leaves_the_request_undone(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every flush and rename in turn: the state is that before, and the same request can be tried again."""
    state = begin(home, tmp_path / "state")
    request(state, ["row-0-0"], "first", request_id="R-1")
    ledger = (state / "ledger.jsonl").read_bytes()
    calls = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}
    for number in range(1, 200):
        left = number

        def failing(name: str, *args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "no space left on device")
            return calls[name](*args, **kwargs)

        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, partial(failing, name))
            try:
                request(state, ["row-0-1"], "second", request_id="R-2")
            except OSError:
                assert (state / "ledger.jsonl").read_bytes() == ledger
                assert verify_requests(state).wrong == verify_requests(state).gone == []
                continue
        break
    assert number > 5
    assert [entry.record["id"] for entry in read_ledger(state / "ledger.jsonl").entries[1:]] == ["R-1", "R-2"]
    assert verify_requests(state).wrong == []


@pytest.mark.parametrize("name", ["state.json", "salt"])
def test_every_damaged_byte_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    path = begin(home, tmp_path / "state") / name
    content = path.read_bytes()
    counts = len(content) - (name == "salt")  # whose line break is blank space
    damaged = [content[:length] for length in range(counts)]
    damaged += [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(counts)]
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(ArtifactError), open_state(tmp_path / "state"):
            pass


def test_the_mask_is_in_the_model_and_in_the_ledger(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    result = request(state, ["row-0-0"], "model")
    with open_state(state) as opened:
        digest = opened.requests[0].record["mask_file"]
    assert read_artifact(tmp_path / "model" / "speu-mask.safetensors", "mask").digest == digest
    assert dict(inspect(tmp_path / "model").summary)["method"] == "spe-so"
    (tmp_path / "model" / "speu-mask.safetensors").unlink()
    assert len(verify_requests(state).wrong) == 1
    assert result.selected["filters"][0] > 0


def test_the_split_of_the_data_is_settled(home: Home, tmp_path: Path) -> None:
    rows = home.rows("train.jsonl")
    parts = {"test": rows[:1], "train": rows}
    DatasetDict({name: Dataset.from_list(part) for name, part in parts.items()}).save_to_disk(
        tmp_path / "data"
    )
    state, choice = tmp_path / "state", DataChoice(split="train")
    statistics = home.folder / "fisher.safetensors"
    start_requests(state, home.model, statistics, str(tmp_path / "data"), step=FIXED, choice=choice)
    assert request(state, ["row-0-7"], "model").forgotten_in_all == 1


def test_that_nothing_remains_is_told(home: Home, tmp_path: Path) -> None:
    """Of statistics of a sample, which were all forgotten, and of all examples."""
    sampled = tmp_path / "sampled.safetensors"
    fisher(home.model, home.path("train.jsonl"), sampled, max_examples=3)
    state = tmp_path / "state"
    start_requests(state, home.model, sampled, home.path("train.jsonl"), step=FIXED)
    file = read_statistics(sampled)
    ids = load_examples(home.path("train.jsonl"), DataChoice()).ids
    used = [one for one, counts in zip(ids, file.used, strict=True) if counts]
    for asked in (used, ids):
        with pytest.raises(InputError, match="nothing remains"):
            request(state, asked, "model")
    assert not (tmp_path / "model").exists()


def test_an_unknown_id_names_its_file(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    with pytest.raises(InputError, match=r"asked\.txt: 1 of 2 ids are not in train\.jsonl: 'nobody'"):
        request(state, ["row-0-0", "nobody"], "model")


def test_another_mask_is_refused(home: Home, tmp_path: Path) -> None:
    """One that is whole, and of this model, but not the one that the ledger begins with."""
    state = begin(home, tmp_path / "state")
    mask(home.model, home.folder / "fisher.safetensors", tmp_path / "other", sparsity=0.5)
    (state / "mask.safetensors").write_bytes((tmp_path / "other").read_bytes())
    with pytest.raises(ArtifactError, match="the ledger says"):
        request(state, ["row-0-0"], "model")
    assert not (tmp_path / "model").exists()


def test_no_model_is_written_into_the_state(home: Home, tmp_path: Path) -> None:
    state = begin(home, tmp_path / "state")
    with pytest.raises(InputError, match="is in the state"):
        request(state, ["row-0-0"], "state/model")
    assert not (state / "model").exists()
