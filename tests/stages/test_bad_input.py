"""Bad input, through the real command line: one clear line, the right exit code, nothing written."""

import hashlib
import json
import logging
import math
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import BloomConfig, BloomForSequenceClassification

import speu_cli
from memorised import DEV, Home, memorised, snapshot
from speu_cli.artifacts.digest import canonical_json, hash_tensors
from speu_cli.cli.main import main
from speu_cli.stages.collection import CollectionChoice
from tiny import tiny_checkpoint, tiny_model, tiny_tokenizer, write_rows

OPTIONS, ARTIFACT, EXISTS, RESOURCE, INTERRUPTED = 2, 4, 5, 7, 130


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder in which everything is as it should be."""
    home = memorised(tmp_path_factory.mktemp("home"))
    train, dev, ids = home.path("train.jsonl"), home.path("dev.jsonl"), home.path("ids.txt")
    speu_cli.fisher(home.model, train, home.folder / "fisher", holdout=dev)
    speu_cli.mask(
        home.model, home.folder / "fisher", home.folder / "mask", data=train, forget=ids, sparsity=0.5
    )
    return home


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command silences libraries for the rest of its process; here that process goes on."""
    before = dict(os.environ)
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)
    for name in set(os.environ) - set(before):
        monkeypatch.delenv(name)


@dataclass
class Place:
    """Where a case makes its bad input, beside what is good."""

    home: Home
    folder: Path

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def rows(self, change: Callable[[list[dict[str, Any]]], object]) -> str:
        """The training rows after a change."""
        rows = self.home.rows("train.jsonl")
        change(rows)
        return str(write_rows(self.folder / "rows.jsonl", rows))

    def model(self, seed: int = 0, **sizes: Any) -> str:
        """Another model."""
        folder = tiny_checkpoint(self.folder / "other", seed=seed)
        tiny_model("bert", seed=seed, **sizes).save_pretrained(folder)
        return str(folder)

    def forged(self, name: str, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> str:
        """A good artifact after a change, signed again, as a forger or a bug would leave it."""
        with safe_open(self.home.path(name), framework="pt") as file:
            record = json.loads(file.metadata()["speu"])
        tensors = load_file(self.home.path(name))
        change(record, tensors)
        unsigned = {key: value for key, value in record.items() if key != "sha256"}
        record["sha256"] = hash_tensors(tensors, preamble=canonical_json(unsigned))
        save_file(tensors, self.folder / "forged", metadata={"speu": canonical_json(record)})
        return str(self.folder / "forged")

    def request(self, command: str = "unlearn", **changes: str | None) -> list[str]:
        """The arguments of a good request after changes; None leaves an option out."""
        options: dict[str, str | None] = {
            "fisher": self.home.path("fisher"),
            "data": self.home.path("train.jsonl"),
            "forget": self.home.path("ids.txt"),
            "sparsity": "0.5",
            "output": str(self.folder / "output"),
        }
        if command == "fisher":
            options = {name: options[name] for name in ("data", "output")}
        if command == "eval":
            options = {name: options[name] for name in ("data", "forget")}
            options["test"] = self.home.path("test.jsonl")
        model = changes.pop("model", None) or str(self.home.model)
        options |= {name.replace("_", "-"): value for name, value in changes.items()}
        given = [
            text for name, value in options.items() if value is not None for text in (f"--{name}", value)
        ]
        return [command, model, *given]


@pytest.fixture
def place(home: Home, tmp_path: Path) -> Place:
    return Place(home, tmp_path)


Case = Callable[[Place], list[str]]


def ids(content: str) -> Case:
    """The list in each of the commands that take one would be refused alike; unlearn stands for them."""
    return lambda place: place.request(forget=place.write("bad-ids", content))


def rows(change: Callable[[list[dict[str, Any]]], object], command: str = "fisher") -> Case:
    return lambda place: place.request(command, data=place.rows(change))


def forged_statistics(change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> Case:
    return lambda place: place.request(fisher=place.forged("fisher", change))


def halved(name: str, tensors: dict[str, torch.Tensor]) -> None:
    tensors[name] = tensors[name][: len(tensors[name]) // 2].clone()


def forged_mask(change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> Case:
    return lambda place: place.request(mask=place.forged("mask", change))


def damaged(name: str, damage: Callable[[bytes], bytes]) -> Case:
    def arguments(place: Place) -> list[str]:
        path = place.write("damaged", damage(Path(place.home.path(name)).read_bytes()))
        return place.request(**{name: path})

    return arguments


def flip(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[-100] ^= 1
    return bytes(changed)


def first(name: str, tensors: dict[str, torch.Tensor]) -> str:
    return next(key for key in sorted(tensors) if key.startswith(name))


def put(name: str, value: float) -> Callable[[dict[str, Any], dict[str, torch.Tensor]], object]:
    return lambda _, tensors: tensors[first(name, tensors)].view(-1)[0].fill_(value)


def all_ids(place: Place) -> list[str]:
    every = "\n".join(row["id"] for row in place.home.rows("train.jsonl"))
    return place.request(forget=place.write("bad-ids", every))


def unsupported_family(place: Place) -> list[str]:
    config = BloomConfig(n_layer=1, n_head=2, hidden_size=8, vocab_size=80, num_labels=2, pad_token_id=1)
    BloomForSequenceClassification(config).save_pretrained(place.folder / "bloom")
    tiny_tokenizer("roberta").save_pretrained(place.folder / "bloom")
    return place.request("fisher", model=str(place.folder / "bloom"))


def pickled(place: Place) -> list[str]:
    folder = Path(place.model())
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return place.request("fisher", model=str(folder))


def without(name: str) -> Case:
    def arguments(place: Place) -> list[str]:
        folder = Path(place.model())
        (folder / name).unlink()
        return place.request("fisher", model=str(folder))

    return arguments


def another_mask(place: Place) -> list[str]:
    other, fisher, mask = place.model(seed=1), place.folder / "fisher", place.folder / "mask"
    speu_cli.fisher(Path(other), place.home.path("train.jsonl"), fisher)
    speu_cli.mask(Path(other), fisher, mask)
    return place.request(mask=str(mask))


def a_mask_of_three_layers(place: Place) -> list[str]:
    other, fisher, mask = place.model(layers=3), place.folder / "fisher", place.folder / "mask"
    speu_cli.fisher(Path(other), place.home.path("train.jsonl"), fisher)
    speu_cli.mask(Path(other), fisher, mask)
    return place.request(mask=str(mask))


def entries_of_one_weight(record: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    record["settings"].update(within="wanda:0.5")
    rows = 4 * len(tensors["selected/heads/0"])
    name = "within/bert.encoder.layer.0.attention.self.query.weight"
    tensors[name] = torch.ones(rows, 16, dtype=torch.bool)


def dampening_without_parameters(place: Place) -> list[str]:
    only = CollectionChoice(only="mask")
    train, fisher = place.home.path("train.jsonl"), place.folder / "fisher"
    speu_cli.fisher(place.home.model, train, fisher, collection=only)
    return place.request(fisher=str(fisher), method="ssd")


def existing_folder(place: Place) -> list[str]:
    tiny_checkpoint(place.folder / "output")
    return place.request()


def existing_file(place: Place) -> list[str]:
    place.write("output", "mine")
    return place.request("fisher")


def statistics_without_held_out_set(place: Place, command: str, *options: str) -> list[str]:
    speu_cli.fisher(place.home.model, place.home.path("train.jsonl"), place.folder / "fisher")
    return [*place.request(command, fisher=str(place.folder / "fisher")), *options]


CASES: dict[str, tuple[Case, int, str]] = {
    # id lists
    "unknown id": (ids("row-0-0\nnobody\n"), OPTIONS, "nobody"),
    "duplicate id": (ids("row-0-0\nrow-0-1\nrow-0-0\n"), OPTIONS, "'row-0-0' is there twice"),
    "empty list": (ids("\n \n"), OPTIONS, "got no ids"),
    "empty JSON list": (ids("[]"), OPTIONS, "got no ids"),
    "broken JSON list": (ids('["row-0-0"'), OPTIONS, "bad JSON"),
    "list of something else": (ids('[["row-0-0"]]'), OPTIONS, "expected a non-empty text"),
    "list that is no text": (lambda p: p.request(forget=p.write("i", b"\xff\xfe\x00")), OPTIONS, "not UTF-8"),
    "all ids": (all_ids, OPTIONS, "got all 40 ids"),
    "no list": (lambda p: p.request(forget=str(p.folder / "missing")), OPTIONS, "missing"),
    "unknown id to leave out": (
        lambda p: p.request("fisher", exclude=p.write("i", "nobody")),
        OPTIONS,
        "nobody",
    ),
    "unknown id in a subset": (lambda p: p.request("fisher", ids=p.write("i", "nobody")), OPTIONS, "nobody"),
    "unknown id in eval": (lambda p: p.request("eval", forget=p.write("i", "nobody")), OPTIONS, "nobody"),
    "unknown id in mask": (lambda p: p.request("mask", forget=p.write("i", "nobody")), OPTIONS, "nobody"),
    # rows
    "label outside the model's": (rows(lambda all_: all_[3].update(label=2)), OPTIONS, "row-0-3"),
    "label that is a name": (rows(lambda all_: all_[3].update(label="good")), OPTIONS, "good"),
    "label that is missing": (rows(lambda all_: all_[3].update(label=None)), OPTIONS, "label"),
    "missing text column": (rows(lambda all_: [row.pop("text") for row in all_]), OPTIONS, "text"),
    "missing label column": (rows(lambda all_: [row.pop("label") for row in all_]), OPTIONS, "label"),
    "named column is missing": (lambda p: p.request("fisher", text_column="body"), OPTIONS, "body"),
    "row without text": (rows(lambda all_: all_[3].update(text="")), OPTIONS, "text"),
    "row with text of blanks": (rows(lambda all_: all_[3].update(text="  ")), OPTIONS, "text"),
    "row without the text field": (rows(lambda all_: all_[3].pop("text")), OPTIONS, "text"),
    "id that is there twice": (rows(lambda all_: all_[3].update(id="row-0-0")), OPTIONS, "row-0-0"),
    "no rows": (rows(lambda all_: all_.clear()), OPTIONS, "rows.jsonl"),
    "no data": (
        lambda p: p.request("fisher", data=str(p.folder / "missing.jsonl")),
        OPTIONS,
        "missing.jsonl",
    ),
    "broken data": (lambda p: p.request("fisher", data=p.write("d.jsonl", "{")), OPTIONS, "d.jsonl"),
    "broken held-out set": (
        lambda p: p.request("fisher", holdout=p.write("d.jsonl", "{")),
        OPTIONS,
        "d.jsonl",
    ),
    # statistics
    "statistics of another model": (
        lambda p: p.request(model=p.model(seed=1)),
        ARTIFACT,
        "belongs to another model: its weights",
    ),
    "statistics of another family": (
        lambda p: p.request(model=str(tiny_checkpoint(p.folder / "roberta", "roberta"))),
        ARTIFACT,
        "belongs to another model: its architecture",
    ),
    "statistics of a row with another text": (
        rows(lambda all_: all_[7].update(text="word1"), "unlearn"),
        ARTIFACT,
        "1 of their 40 rows",
    ),
    "statistics of a row with another label": (
        rows(lambda all_: all_[7].update(label=1 - all_[7]["label"]), "unlearn"),
        ARTIFACT,
        "1 of their 40 rows",
    ),
    "statistics of a row that is gone": (
        rows(lambda all_: all_.pop(), "mask"),
        ARTIFACT,
        "1 of their 40 rows",
    ),
    "statistics of another length": (
        lambda p: p.request(max_length="8"),
        ARTIFACT,
        "--max-length is 8, but",
    ),
    "statistics of another column": (
        lambda p: p.request(text_column="id"),
        ARTIFACT,
        "--text-column is 'id', but",
    ),
    "statistics of another task": (
        lambda p: p.request(task="regression"),
        ARTIFACT,
        "--task is 'regression', but",
    ),
    "truncated statistics": (damaged("fisher", lambda content: content[:-1]), ARTIFACT, "is corrupt"),
    "statistics cut in the header": (
        damaged("fisher", lambda content: content[:100]),
        ARTIFACT,
        "is corrupt",
    ),
    "empty statistics": (damaged("fisher", lambda content: b""), ARTIFACT, "is corrupt"),
    "statistics with a flipped bit": (damaged("fisher", flip), ARTIFACT, "does not match its checksum"),
    "statistics of a newer format": (
        forged_statistics(lambda record, _: record.update(version=2)),
        ARTIFACT,
        "format version 2, this speu reads version 1",
    ),
    "NaN in the statistics": (
        forged_statistics(put("fisher/", float("nan"))),
        ARTIFACT,
        "holds NaN or infinity",
    ),
    "negative sum of squares": (forged_statistics(put("fisher/", -1.0)), ARTIFACT, "negative entries"),
    "misshapen statistics": (
        forged_statistics(lambda _, tensors: halved(first("mask_fisher/", tensors), tensors)),
        ARTIFACT,
        "not of this model or misshapen",
    ),
    "rows that do not fit": (
        forged_statistics(lambda _, tensors: halved("rows", tensors)),
        ARTIFACT,
        "'rows' and 'used' do not fit each other",
    ),
    "losses that do not fit": (
        forged_statistics(lambda _, tensors: halved("losses", tensors)),
        ARTIFACT,
        "'losses' and 'used' do not fit each other",
    ),
    "strata that do not fit": (
        forged_statistics(lambda _, tensors: halved("strata", tensors)),
        ARTIFACT,
        "'strata' and 'used' do not fit each other",
    ),
    "held-out strata that do not fit": (
        forged_statistics(lambda _, tensors: halved("holdout_strata", tensors)),
        ARTIFACT,
        "'holdout_strata' and 'holdout_losses' do not fit each other",
    ),
    "terms that do not fit": (
        forged_statistics(lambda _, tensors: tensors.update(holdout_terms=torch.zeros(3, 2))),
        ARTIFACT,
        "'holdout_terms' and 'holdout_losses' do not fit each other",
    ),
    "terms of no shape": (
        forged_statistics(lambda _, tensors: tensors.update(holdout_terms=torch.zeros(DEV))),
        ARTIFACT,
        "is not a complete statistics file",
    ),
    "strata that are no numbers": (
        forged_statistics(lambda _, tensors: tensors.update(strata=tensors["strata"] * math.nan)),
        ARTIFACT,
        "tensor 'strata' holds NaN or infinity",
    ),
    "strata of the training set alone": (
        forged_statistics(lambda _, tensors: tensors.pop("holdout_strata")),
        ARTIFACT,
        "'strata' and 'holdout_strata' are not there together",
    ),
    "statistics that lack a tensor": (
        forged_statistics(lambda _, tensors: tensors.pop(first("gradient/", tensors))),
        ARTIFACT,
        "'gradient' of",
    ),
    "statistics that lack their losses": (
        forged_statistics(lambda _, tensors: tensors.pop("holdout_losses")),
        ARTIFACT,
        "not a complete statistics file",
    ),
    "statistics that lack the model": (
        forged_statistics(lambda record, _: record.pop("model")),
        ARTIFACT,
        "not a complete statistics file",
    ),
    "a mask for statistics": (
        lambda p: p.request(fisher=p.home.path("mask")),
        ARTIFACT,
        "'mask' file, expected",
    ),
    "weights for statistics": (
        lambda p: p.request(fisher=p.home.path("model/model.safetensors")),
        ARTIFACT,
        "was not written by speu",
    ),
    "text for statistics": (lambda p: p.request(fisher=p.home.path("ids.txt")), ARTIFACT, "is corrupt"),
    "no statistics": (lambda p: p.request(fisher=str(p.folder / "missing")), OPTIONS, "file not found"),
    "no held-out set for the rate": (
        lambda p: statistics_without_held_out_set(p, "unlearn", "--recipe", "paper"),
        OPTIONS,
        "what unseen examples look like is not known",
    ),
    "no held-out set for targets": (
        lambda p: statistics_without_held_out_set(p, "unlearn"),
        OPTIONS,
        "by those of unseen examples, and the statistics know none",
    ),
    "no held-out set for a mask of the remembered": (
        lambda p: statistics_without_held_out_set(p, "mask", "--forget-examples", "remembered"),
        OPTIONS,
        "what unseen examples look like is not known",
    ),
    # masks
    "a mask of another architecture": (a_mask_of_three_layers, ARTIFACT, "mask of another architecture"),
    "a mask of another model": (another_mask, ARTIFACT, "belongs to another model: its weights"),
    "a mask that lacks a tensor": (
        forged_mask(lambda _, tensors: tensors.pop("selected/heads/0")),
        ARTIFACT,
        "not a complete mask",
    ),
    "a mask of a unit that is not there": (
        forged_mask(lambda _, tensors: tensors.update({"selected/heads/0": torch.tensor([4])})),
        ARTIFACT,
        "not a complete mask",
    ),
    "statistics for a mask": (lambda p: p.request(mask=p.home.path("fisher")), ARTIFACT, "'statistics' file"),
    "truncated mask": (damaged("mask", lambda content: content[:-1]), ARTIFACT, "is corrupt"),
    "flipped bit in a mask": (damaged("mask", flip), ARTIFACT, "is corrupt"),
    "a mask where none is taken": (
        lambda p: p.request(mask=p.home.path("mask"), method="so"),
        OPTIONS,
        "--mask",
    ),
    "entries that no unit owns": (
        forged_mask(
            lambda record, tensors: (
                record["settings"].update(within="wanda:0.5"),
                tensors.update({"within/bert.pooler.dense.weight": torch.ones(16, 16, dtype=torch.bool)}),
            )
        ),
        ARTIFACT,
        "not flags of what the mask selects",
    ),
    "entries of some of the weights": (forged_mask(entries_of_one_weight), ARTIFACT, "is missing, expected"),
    "entries that are not there": (
        forged_mask(lambda record, _: record["settings"].update(within="wanda:0.5")),
        ARTIFACT,
        "do not fit each other",
    ),
    "an objective of the forget set without one": (
        lambda p: [*p.request("mask", data=None, forget=None), "--objective", "mlf"],
        OPTIONS,
        "--objective mlf chooses by the examples to forget",
    ),
    "entries by the forget set without one": (
        lambda p: [*p.request("mask", data=None, forget=None), "--within", "wanda:0.5"],
        OPTIONS,
        "--within chooses by the examples to forget",
    ),
    "dampening with statistics of the mask variables": (
        dampening_without_parameters,
        ARTIFACT,
        "holds the statistics of the mask variables only",
    ),
    "dampening at a rate": (
        lambda p: p.request(method="ssd", rate="1e-6"),
        OPTIONS,
        "method 'ssd' takes no step, so it has no --rate",
    ),
    # models
    "unsupported family": (
        unsupported_family,
        ARTIFACT,
        "'bloom' is not supported, expected one of bert, roberta",
    ),
    "pickled checkpoint": (pickled, ARTIFACT, "pickled weights"),
    "no model": (
        lambda p: p.request("fisher", model=str(p.folder / "missing")),
        OPTIONS,
        "model folder not found",
    ),
    "model without weights": (without("model.safetensors"), ARTIFACT, "holds no weights"),
    "model without config": (without("config.json"), ARTIFACT, "no readable config.json"),
    "model without tokenizer": (without("tokenizer.json"), ARTIFACT, "tokenizer"),
    "a name for a model": (
        lambda p: p.request("fisher", model="bert-base-uncased"),
        OPTIONS,
        "never downloaded",
    ),
    # outputs
    "output folder exists": (existing_folder, EXISTS, "output exists"),
    "output file exists": (existing_file, EXISTS, "output exists"),
    "output in no folder": (lambda p: p.request(output=str(p.folder / "a" / "b")), OPTIONS, "mkdir -p"),
    "output over the model": (
        lambda p: [*p.request(output=str(p.home.model)), "--force"],
        OPTIONS,
        "would replace the input",
    ),
    "output over the data": (
        lambda p: [*p.request("fisher", output=p.home.path("train.jsonl")), "--force"],
        OPTIONS,
        "would replace the input",
    ),
    "output over the model's weights": (
        lambda p: [*p.request("fisher", output=str(p.home.model / "model.safetensors")), "--force"],
        OPTIONS,
        "would replace a file of the input",
    ),
    "output over everything": (
        lambda p: [*p.request(output=str(p.home.folder)), "--force"],
        OPTIONS,
        "would replace the input",
    ),
    "trained model over its base": (
        lambda p: ["train", *p.request("fisher", output=str(p.home.model))[1:], "--force"],
        OPTIONS,
        "would replace the input",
    ),
    "picture over the mask": (
        lambda p: p.request("mask", picture=str(p.folder / "x.png"), output=str(p.folder / "x.png")),
        OPTIONS,
        "would replace",
    ),
    # what is to be looked at
    "statistics that lack a part": (
        lambda p: ["inspect", p.forged("fisher", lambda _, tensors: tensors.pop("holdout_losses"))],
        ARTIFACT,
        "is not complete: KeyError('holdout_losses')",
    ),
    "mask that lacks a part": (
        lambda p: ["inspect", p.forged("mask", lambda record, _: record.pop("objective"))],
        ARTIFACT,
        "is not complete: KeyError('objective')",
    ),
    # options
    "sparsity of one": (lambda p: p.request(sparsity="1"), OPTIONS, "sparsity"),
    "rate of nothing": (lambda p: p.request(rate="0"), OPTIONS, "rate"),
    "rate that is no number": (lambda p: p.request(rate="nan"), OPTIONS, "rate"),
    "more positions than there are": (
        lambda p: p.request("fisher", max_length="41"),
        OPTIONS,
        "expected 1 … 40",
    ),
    "unknown task": (lambda p: p.request("fisher", task="translation"), OPTIONS, "translation"),
    "forget set without data": (lambda p: p.request("mask", data=None), OPTIONS, "--data and --forget"),
    "unknown device": (lambda p: p.request(device="gpu"), OPTIONS, "gpu"),
    "missing device": (lambda p: p.request(device="cuda:99"), RESOURCE, "not available"),
    "rate that breaks the model": (
        lambda p: p.request(rate="1e30", max_overshoot="1.0001"),
        8,
        "the step",
    ),
}


@pytest.mark.parametrize(("case", "code", "message"), CASES.values(), ids=CASES.keys())
def test_refused(
    case: Case, code: int, message: str, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = case(place)
    before = snapshot(place.home.folder), snapshot(place.folder)
    capfd.readouterr()
    found = main([*arguments, "--json"])
    out, err = capfd.readouterr()
    assert (found, out) == (code, ""), err
    assert_one_error(err, message)
    assert (snapshot(place.home.folder), snapshot(place.folder)) == before


def assert_one_error(err: str, message: str) -> None:
    lines = err.splitlines()
    assert lines[0].startswith("speu: error: "), err
    assert message in err
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == [], err
    assert len(lines) <= 2, err


def test_the_good_request_is_served(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """What the cases change one thing of."""
    for command in ("fisher", "unlearn", "eval"):
        arguments = place.request(command)
        if command == "fisher":
            arguments = place.request(command, output=str(place.folder / "fisher"))
        assert main(arguments) == 0, capfd.readouterr().err
    assert main(place.request("mask", output=str(place.folder / "mask"))) == 0
    assert main(place.request(mask=place.home.path("mask"), output=str(place.folder / "second"))) == 0


@pytest.mark.parametrize("command", ["fisher", "mask", "unlearn"])
def test_disk_full(command: str, place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """The largest file that a process may write stands in for a disk that is full."""
    before = snapshot(place.home.folder), snapshot(place.folder)
    arguments = place.request(command)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    capfd.readouterr()
    # The mask is smaller than what is captured of standard error, which goes to a file too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        found = main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    out, err = capfd.readouterr()
    assert (found, out) == (RESOURCE, ""), err
    assert_one_error(err, "")
    assert (snapshot(place.home.folder), snapshot(place.folder)) == before


def test_ctrl_c_leaves_no_half_file(place: Place) -> None:
    """Interrupted while the checkpoint is written, as a real process, its unfinished folder there to see."""
    script = (
        "import sys, time; from speu_cli.checkpoints import write; from speu_cli.cli.main import main\n"
        "real = write.save_weights\n"
        "def slow(*args): real(*args); print('writing', flush=True, file=sys.stderr); time.sleep(60)\n"
        "write.save_weights = slow\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *place.request()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "writing\n"
        assert [path.name for path in place.folder.iterdir() if path.suffix == ".tmp"] != []
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (INTERRUPTED, "", "speu: error: interrupted\n")
    assert [path.name for path in place.folder.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("command", ["fisher", "mask", "unlearn"])
def test_existing_output_is_untouched(command: str, place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    if command == "unlearn":
        tiny_checkpoint(place.folder / "output")
    else:
        place.write("output", "mine")
    digests = {name: hashlib.sha256(content).digest() for name, content in snapshot(place.folder).items()}
    assert main(place.request(command)) == EXISTS
    assert "--force" in capfd.readouterr().err
    found = {name: hashlib.sha256(content).digest() for name, content in snapshot(place.folder).items()}
    assert found == digests
