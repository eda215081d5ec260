"""Cutting data sets."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_cuts import DRAWS, NoDataError, disjoint, prepare, shuffled
from settings import SETS, SETTINGS, Size

SMOKE = SETTINGS["smoke"]


def rows(name: str, count: int) -> list[dict[str, Any]]:
    return [{"id": f"{name}-{n}", "text": f"word{n % 60} " * 5, "label": n % 2} for n in range(count)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "sst2"
    folder.mkdir(parents=True)
    for name, count in (("train", 200), ("dev", 40)):
        text = "".join(json.dumps(row) + "\n" for row in rows(name, count))
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder.parent


def ids_of(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [json.loads(line)["id"] for line in lines] if path.suffix == ".jsonl" else lines


def test_draws_share_no_row_and_are_of_the_training_rows(data: Path, tmp_path: Path) -> None:
    prepare(data, SETS["sst2"], SMOKE, tmp_path / "cut")
    train, heldout = (ids_of(tmp_path / "cut" / f"{name}.jsonl") for name in ("train", "heldout"))
    assert (len(train), len(heldout)) == (SMOKE.sizes["sst2"].training, SMOKE.heldout)
    assert not set(train) & set(heldout)
    draws = [ids_of(tmp_path / "cut" / f"forget-{name}.txt") for name in DRAWS[: SMOKE.draws]]
    together = [one for draw in draws for one in draw]
    assert len(together) == len(set(together)) == SMOKE.draws * SMOKE.forget
    assert set(together) <= set(train)


def test_requests_of_a_draw_add_up_and_those_of_two_draws_share_no_row(data: Path, tmp_path: Path) -> None:
    prepare(data, SETS["sst2"], SMOKE, tmp_path / "cut")
    whole = []
    for name in DRAWS[: SMOKE.draws]:
        asked: list[str] = []
        for number in range(1, SMOKE.requests + 1):
            asked += ids_of(tmp_path / "cut" / f"request-{name}-{number}.txt")
            assert ids_of(tmp_path / "cut" / f"so-far-{name}-{number}.txt") == asked
        whole += asked
    assert len(set(whole)) == len(whole) == SMOKE.draws * SMOKE.requests * SMOKE.request_size


def test_a_cut_of_other_sizes_is_not_taken_for_this_one(data: Path, tmp_path: Path) -> None:
    prepare(data, SETS["sst2"], SMOKE, tmp_path / "cut")
    before = (tmp_path / "cut" / "train.jsonl").read_bytes()
    prepare(data, SETS["sst2"], SMOKE, tmp_path / "cut")
    with pytest.raises(NoDataError, match="other settings"):
        prepare(data, SETS["sst2"], replace(SMOKE, forget=9), tmp_path / "cut")
    assert (tmp_path / "cut" / "train.jsonl").read_bytes() == before


def test_without_a_size_all_rows_are_taken_but_the_held_out(data: Path, tmp_path: Path) -> None:
    everything = replace(SMOKE, sizes={"sst2": Size(None, None, 10, 64)})
    prepare(data, SETS["sst2"], everything, tmp_path / "cut")
    train, heldout, test = (ids_of(tmp_path / "cut" / f"{n}.jsonl") for n in ("train", "heldout", "test"))
    assert (len(train), len(heldout), len(test)) == (200 - SMOKE.heldout, SMOKE.heldout, 40)


def test_a_set_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match=r"qqp/train\.jsonl\.gz is not there"):
        prepare(data, SETS["qqp"], SMOKE, tmp_path / "cut")


def test_too_few_rows_for_the_draws_are_refused() -> None:
    assert disjoint("abcdef", 3, 2) == ["ab", "cd", "ef"]
    with pytest.raises(ValueError, match="3 draws of 3 rows need 9, got 6"):
        disjoint("abcdef", 3, 3)


def test_long_contexts_and_short_texts_are_left_out() -> None:
    squad = [{"context": "x" * length} for length in (10, 20, 30)]
    assert sorted(len(row["context"]) for row in shuffled(squad, Size(1, 1, 1, 1, longest=20))) == [10, 20]
    sst = [{"text": text} for text in ("one", "one two three four", "a b c d e")]
    assert len(shuffled(sst, Size(1, 1, 1, 1, fewest_words=4))) == 2


@pytest.mark.parametrize("name", SETS)
def test_rows_of_the_hub_take_our_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, asked = SETS[name].hub, []

    def load_dataset(*source: Any, split: str) -> list[dict[str, Any]]:
        asked.append((*source, split))
        return [{theirs: f"{theirs} {n}" for theirs in hub.columns.values()} | {"more": n} for n in range(90)]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    everything = replace(SMOKE, sizes={name: Size(None, None, 10, 64)})
    prepare(None, SETS[name], everything, tmp_path / "cut")
    assert asked == [(hub.name, hub.config, "train"), (hub.name, hub.config, hub.test)]
    found = [json.loads(line) for line in (tmp_path / "cut" / "train.jsonl").read_text().splitlines()]
    assert {key for row in found for key in row} == {"id", *hub.columns}
    assert all(row[ours].endswith(row["id"].removeprefix("train-")) for row in found for ours in hub.columns)
    assert {"mnli": 3, "sst2": 2}.get(name, len(hub.columns)) == len(hub.columns)
