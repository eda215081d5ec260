import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.write import read_record
from speu_cli.data.columns import DataChoice
from speu_cli.errors import ArtifactError, InputError, OutputExistsError, SpeuError
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.stages.train import train
from tiny import FAMILIES, tiny_checkpoint, tiny_rows, write_ids, write_rows
from tiny_encoder import tiny_encoder

T = TypeVar("T")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "base")


def labelled(path: Path, labels: list[Any]) -> str:
    rows = [row | {"label": label} for row, label in zip(tiny_rows(len(labels)), labels, strict=True)]
    return str(write_rows(path, rows))


def record_of(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    assert record is not None
    return record


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_becomes_a_complete_checkpoint(family: str, tmp_path: Path) -> None:
    base = tiny_encoder(tmp_path / "base", family)
    data = labelled(tmp_path / "rows.jsonl", ["pear", "apple", "fig"] * 3)
    result = train(base, data, tmp_path / "model", epochs=2, learning_rate=1e-3, batch_size=4)
    assert (result.examples, result.excluded, result.labels, result.task) == (9, 0, 3, "classification")
    assert (result.epochs, result.steps) == (2, 6)
    checkpoint = load_checkpoint(tmp_path / "model")
    assert checkpoint.model.config.id2label == {0: "apple", 1: "fig", 2: "pear"}
    assert checkpoint.stored_dtype == torch.float32
    started = load_checkpoint(tiny_checkpoint(tmp_path / "other", family)).model.state_dict()
    name, tensor = next(iter(checkpoint.model.named_parameters()))
    assert not torch.equal(tensor, started[name])


def test_the_record_says_what_was_done(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(8)))
    ids = write_ids(tmp_path / "ids.txt", ["row-0-1", "row-0-3"])
    choice = DataChoice(max_length=12)
    result = train(base, data, tmp_path / "model", exclude=str(ids), epochs=1, seed=3, choice=choice)
    record = record_of(tmp_path / "model")
    assert record["kind"] == "training"
    assert record["training"] | {"seed": 3, "epochs": 1} == record["training"]
    assert record["encoding"]["max_length"] == 12
    assert record["encoding"]["columns"] == {"id": "id", "text": "text", "text_pair": None, "label": "label"}
    assert (record["data"]["examples"], record["excluded"]["examples"]) == (6, 2)
    assert record["mean_loss"] == result.mean_loss
    assert record["base"]["new_parameters"] == ["classifier.bias", "classifier.weight"]
    assert str(tmp_path) not in json.dumps(record)


def test_later_stages_take_the_encoding_from_the_record(base: Path, tmp_path: Path) -> None:
    rows = [{"number": row["id"], "words": row["text"], "kind": row["label"]} for row in tiny_rows(6)]
    data = str(write_rows(tmp_path / "rows.jsonl", rows))
    choice = DataChoice(id_column="number", text_column="words", label_column="kind", max_length=9)
    train(base, data, tmp_path / "model", epochs=1, choice=choice)
    session = open_session(tmp_path / "model", DataChoice(), Runtime())
    assert session.max_length == 9
    assert session.read(data).ids == [row["number"] for row in rows]


def test_the_same_call_gives_the_same_weights(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(8)))
    for name in ("one", "two"):
        train(base, data, tmp_path / name, epochs=1, learning_rate=1e-3, batch_size=4)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    assert record_of(tmp_path / "one") == record_of(tmp_path / "two")


def test_what_is_excluded_has_no_influence_but_that_its_label_is_known(base: Path, tmp_path: Path) -> None:
    rows = tiny_rows(9)
    rows[4]["label"] = 2  # the only one of its class
    data = str(write_rows(tmp_path / "rows.jsonl", rows))
    rows[4]["text"] = "another text of word1 word2"
    other = str(write_rows(tmp_path / "other.jsonl", rows))
    ids = str(write_ids(tmp_path / "ids.txt", [rows[4]["id"]]))
    for name, source in (("one", data), ("two", other)):
        result = train(base, source, tmp_path / name, exclude=ids, epochs=1, learning_rate=1e-3)
        assert (result.labels, result.examples, result.excluded) == (3, 8, 1)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_two_trainings_of_one_base_tell_the_same_base(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(6)))
    for seed in (0, 1):
        train(base, data, tmp_path / str(seed), epochs=1, seed=seed)
    records = [record_of(tmp_path / str(seed)) for seed in (0, 1)]
    assert records[0]["base"] == records[1]["base"]
    train(tiny_encoder(tmp_path / "base2", seed=1), data, tmp_path / "2", epochs=1)
    assert record_of(tmp_path / "2")["base"]["weights"] != records[0]["base"]["weights"]


@pytest.mark.parametrize(
    ("labels", "asked", "expected"),
    [
        ([0, 1, 1, 0], {}, ("classification", 2)),
        ([0, 1, 2, 1], {}, ("classification", 3)),
        ([0, 1, 2, 1], {"num_labels": 5}, ("classification", 5)),
        ([0.5, 1.0, 2.0, 3.5], {}, ("regression", 1)),
        ([1, 2.5, 2, 3], {}, ("regression", 1)),
        ([0, 1, 5, 1], {"choice": DataChoice(task="regression")}, ("regression", 1)),
        ([0.0, 1.0, 2.0, 1.0], {"choice": DataChoice(task="classification")}, ("classification", 3)),
        (["yes", "no", "yes", "no"], {"num_labels": 2}, ("classification", 2)),
    ],
)
def test_task_and_outputs_follow_from_the_labels(
    labels: list[Any], asked: dict[str, Any], expected: tuple[str, int], base: Path, tmp_path: Path
) -> None:
    result = train(base, labelled(tmp_path / "rows.jsonl", labels), tmp_path / "model", epochs=1, **asked)
    assert (result.task, result.labels) == expected
    config = load_checkpoint(tmp_path / "model").model.config
    assert config.num_labels == expected[1]
    assert config.problem_type == ("regression" if expected[1] == 1 else "single_label_classification")


def test_a_fitting_head_is_kept_and_another_replaced(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", outputs=2)
    train(base, labelled(tmp_path / "a.jsonl", [0, 1, 0, 1]), tmp_path / "two", epochs=1)
    assert record_of(tmp_path / "two")["base"]["new_parameters"] == []
    train(base, labelled(tmp_path / "b.jsonl", [0, 1, 2, 1]), tmp_path / "three", epochs=1)
    assert record_of(tmp_path / "three")["base"]["new_parameters"] == ["classifier.bias", "classifier.weight"]


def test_a_head_that_knows_the_names_keeps_their_order(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", outputs=2)
    config = json.loads((base / "config.json").read_text())
    config |= {"id2label": {"0": "yes", "1": "no"}, "label2id": {"yes": 0, "no": 1}}
    (base / "config.json").write_text(json.dumps(config))
    train(base, labelled(tmp_path / "rows.jsonl", ["yes", "no", "no", "yes"]), tmp_path / "model", epochs=1)
    assert load_checkpoint(tmp_path / "model").model.config.id2label == {0: "yes", 1: "no"}


@pytest.mark.parametrize(
    ("labels", "asked", "message"),
    [
        ([0, "yes", 1], {}, "both names and numbers"),
        ([0, -1, 1], {}, "-1 is not a class number"),
        ([0, 3, 1], {}, "none is 2"),
        ([0, 2, 1], {"num_labels": 2}, "2 is outside 0 … 1"),
        ([0, 0, 0], {}, "1 class"),
        (["yes", "yes"], {}, "1 class"),
        (["yes", "no"], {"num_labels": 3}, "got 3, the data has 2"),
        (["yes", "no"], {"choice": DataChoice(task="regression")}, "'no' is a name"),
        ([0.5, 1.0], {"num_labels": 2}, "regression has 1 output"),
        ([0.5, 1.0], {"choice": DataChoice(task="classification")}, "0.5 is not a class number"),
        ([0, 1], {"choice": DataChoice(task="ranking")}, "no task 'ranking'"),
        ([0, 1], {"epochs": 0}, "out of range"),
        ([0, 1], {"learning_rate": -1e-5}, "out of range"),
        ([0, 1], {"batch_size": 0}, "out of range"),
        ([0, 1], {"weight_decay": -0.1}, "out of range"),
        ([0, 1], {"choice": DataChoice(max_length=99)}, "max-length"),
        ([0, 1], {"runtime": Runtime(device="cuda:1")}, "first device"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    labels: list[Any], asked: dict[str, Any], message: str, base: Path, tmp_path: Path
) -> None:
    data = labelled(tmp_path / "rows.jsonl", labels)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        train(base, data, tmp_path / "model", **asked)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_id_lists_are_refused(base: Path, tmp_path: Path) -> None:
    rows = tiny_rows(4)
    data = str(write_rows(tmp_path / "rows.jsonl", rows))
    for ids in (["row-0-9"], [row["id"] for row in rows], []):
        with pytest.raises(InputError):
            train(base, data, tmp_path / "model", exclude=str(write_ids(tmp_path / "ids.txt", ids)))
    assert not (tmp_path / "model").exists()


def test_a_base_that_cannot_be_trained_is_refused(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(4)))

    def refusal(folder: Path) -> SpeuError:
        with pytest.raises(SpeuError) as caught:
            train(folder, data, tmp_path / "model", epochs=1)
        assert not (tmp_path / "model").exists()
        return caught.value

    assert "not found" in str(refusal(tmp_path / "nowhere"))
    weights = base / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert isinstance(refusal(base), ArtifactError)
    weights.rename(base / "pytorch_model.bin")
    assert "pickled" in str(refusal(base))


@pytest.mark.parametrize(
    ("layers", "message"),
    [(3, r"lacks weights for bert\.encoder\.layer\.2"), (1, r"no place for .*encoder\.layer\.1")],
)
def test_half_an_encoder_is_refused(base: Path, layers: int, message: str, tmp_path: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(4)))
    with pytest.raises(ArtifactError, match=message):
        train(base, data, tmp_path / "model")


def test_an_output_is_replaced_only_by_force(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(4)))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(OutputExistsError):
        train(base, data, tmp_path / "model", epochs=1)
    assert (tmp_path / "model" / "old.txt").exists()
    train(base, data, tmp_path / "model", epochs=1, runtime=Runtime(force=True))
    assert not (tmp_path / "model" / "old.txt").exists()


def test_a_folder_of_something_else_is_not_replaced(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(4)))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("old")
    with pytest.raises(InputError, match="something else than a checkpoint"):
        train(base, data, tmp_path / "home", epochs=1, runtime=Runtime(force=True))
    assert (tmp_path / "home" / "thesis.tex").exists()


class Interrupting:
    """A progress that ends the run in its second step, as Ctrl-C does."""

    def track(self, items: Iterable[T], *, total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == 1:
                raise KeyboardInterrupt
            yield item

    def note(self, message: str) -> None: ...


def test_an_interrupted_run_leaves_nothing(base: Path, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "rows.jsonl", tiny_rows(8)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        train(base, data, tmp_path / "model", batch_size=2, runtime=Runtime(progress=Interrupting()))
    assert sorted(tmp_path.iterdir()) == before
