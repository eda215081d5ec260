import importlib
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.write import read_record
from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.ids import read_ids
from speu_cli.data.sources.load import load_examples

FOLDER = Path(__file__).parents[1] / "sample_data"
SPLITS = ("train", "heldout", "test")
REQUESTS = ("forget_customer", "forget_64")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("make_tickets")


def tickets(split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text().splitlines()]


def read(split: str) -> Examples:
    return load_examples(str(FOLDER / f"{split}.jsonl"), DataChoice())


def test_the_script_makes_the_files_that_are_here(script: ModuleType, tmp_path: Path) -> None:
    script.main(tmp_path)
    made = sorted(tmp_path.iterdir())
    assert [path.stem for path in made] == sorted(SPLITS + REQUESTS)
    for path in made:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_the_splits_are_what_they_are_said_to_be() -> None:
    every = [ticket for split in SPLITS for ticket in tickets(split)]
    assert len(every) == 3000
    assert len({ticket["id"] for ticket in every}) == 3000
    assert len({ticket["text"] for ticket in every}) == 3000
    assert len({ticket["customer"] for ticket in every}) == 300
    assert len({ticket["label"] for ticket in every}) == 5
    for split in SPLITS:
        odd = sum(ticket["topic"] != ticket["label"] for ticket in tickets(split)) / len(tickets(split))
        assert 0.02 < odd < 0.05, split


def test_speu_finds_the_columns() -> None:
    for split in SPLITS:
        columns = read(split).columns
        assert (columns.id, columns.text, columns.text_pair, columns.label) == ("id", "text", None, "label")


def test_one_request_is_all_of_a_customer_and_the_other_is_of_many() -> None:
    customers = {ticket["id"]: ticket["customer"] for ticket in tickets("train")}
    one, many = (read_ids(str(FOLDER / f"{name}.txt")) for name in REQUESTS)
    (customer,) = {customers[row] for row in one}
    assert Counter(customers.values())[customer] == len(one) >= 10
    assert len(many) == 64
    assert len({customers[row] for row in many}) > 40


def test_the_two_models_differ_by_the_larger_request_alone() -> None:
    model, retrained = (read_record(FOLDER / name) for name in ("model", "retrained"))
    assert model is not None
    assert retrained is not None
    for part in ("base", "encoding", "training", "versions"):
        assert model[part] == retrained[part]
    assert (model["data"]["examples"], model["excluded"]["examples"]) == (2200, 0)
    assert (retrained["data"]["examples"], retrained["excluded"]["examples"]) == (2136, 64)


def test_the_models_can_be_loaded_and_all_is_small() -> None:
    for name in ("model", "retrained"):
        config = load_checkpoint(FOLDER / name).model.config
        assert sorted(config.label2id) == sorted({ticket["label"] for ticket in tickets("train")})
    shipped = [path for path in FOLDER.rglob("*") if path.is_file() and "out" not in path.parts]
    assert sum(path.stat().st_size for path in shipped) < 6_000_000
