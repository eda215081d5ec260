"""Curvatures compared at equal forgetting, from files to JSON."""

import json
import math
from pathlib import Path
from typing import Any

import kronecker_step
import pytest
from kronecker.opened import Sources, open_sources

import speu_cli
from memorised import FORGET, TRAIN, Home, memorised
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.runtime import Runtime
from tiny import tiny_checkpoint

CURVATURES = ["diagonal", "diagonal + directions", "diagonal of the sample", "EK-FAC"]
SAMPLE, DAMPINGS = 20, ["0.1", "0.3"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With statistics, and a model for a reference."""
    made = memorised(tmp_path_factory.mktemp("home"))
    collection = CollectionChoice(directions="auto")
    train, dev = made.path("train.jsonl"), made.path("dev.jsonl")
    speu_cli.fisher(made.model, train, made.folder / "fisher", holdout=dev, collection=collection)
    speu_cli.fisher(made.model, train, made.folder / "plain")
    tiny_checkpoint(made.folder / "reference", seed=1)
    return made


def asked(home: Home, fisher: str, *more: str) -> list[str]:
    files = ("--data", home.path("train.jsonl"), "--forget", home.path("ids.txt"))
    options = ("--test", home.path("test.jsonl"), "--sparsity", "0.5", "--max-overshoot", "100")
    return [str(home.model), "--fisher", home.path(fisher), *files, *options, *more]


def test_every_curvature_forgets_alike_and_is_measured(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in home.model.iterdir()}
    output = ("-o", str(tmp_path / "results.json"))
    options = ("--examples", str(SAMPLE), "--damping", *DAMPINGS, "--reference", home.path("reference"))
    assert kronecker_step.main(asked(home, "fisher", *options, *output)) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert found["sample"] == SAMPLE
    assert found["remaining_examples"] == TRAIN - FORGET
    expected = [(name, float(damping)) for damping in DAMPINGS for name in CURVATURES]
    assert [(row["curvature"], row["damping"]) for row in found["rows"]] == expected
    forgotten = [row for row in found["rows"] if "refused" not in row]
    assert {row["curvature"] for row in forgotten} >= {"diagonal", "EK-FAC"}
    assert found["original"]["loss.forget"] < found["target_loss"]
    for row in forgotten:
        # The search ends within a tenth of the target.
        assert math.isclose(row["loss.forget"], found["target_loss"], rel_tol=0.1)
        scores = [
            100 * abs(row[f"{part}_accuracy"] - found["reference"][f"{part}_accuracy"])
            for part in ("unlearning", "remaining", "testing")
        ]
        assert math.isclose(row["gap.remaining_accuracy"], scores[1], abs_tol=1e-9)
        assert {"direction_seconds", "search_seconds", "rate", "membership.member_fraction"} <= row.keys()
    assert len({row["rate"] for row in forgotten}) == len(forgotten)
    # 16 hidden features, 24 filters, in each of two layers: q, k, v and output, then the two of the filters.
    matrices = 2 * (4 * 16 * 16 + 2 * 16 * 24)
    squares = 2 * (4 * 2 * 16**2 + 2 * (16**2 + 24**2))
    biases = found["bytes"]["diagonal"] // 4 - matrices
    assert 0 < biases < matrices / 10
    assert found["bytes"]["EK-FAC"] == found["bytes"]["diagonal"] + 4 * squares
    assert found["bytes"]["diagonal + directions"] == 3 * found["bytes"]["diagonal"]
    assert {path.name: path.read_bytes() for path in home.model.iterdir()} == before


def test_the_sample_is_of_what_remains(home: Home) -> None:
    train, ids, test = (home.path(name) for name in ("train.jsonl", "ids.txt", "test.jsonl"))
    sources = Sources(home.model, home.folder / "plain", train, ids, test)
    opened = open_sources(sources, 0, 1.0, Runtime())
    assert opened.mask.counts() == {"heads": (8, 8), "filters": (48, 48)}
    forgotten = set(opened.forget.encoded.ids)
    some, others = (set(opened.sample(SAMPLE, seed).encoded.ids) for seed in (0, 1))
    assert len(some) == len(others) == SAMPLE
    assert some != others
    assert not forgotten & (some | others)
    assert len(opened.sample(10 * TRAIN, 0).encoded) == TRAIN - FORGET


def test_without_a_target_nothing_is_compared(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert kronecker_step.main(asked(home, "plain")) == 2
    assert "no held-out set and no target loss" in capsys.readouterr().err
