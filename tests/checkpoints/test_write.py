import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from speu_cli.checkpoints.load import Checkpoint, load_checkpoint
from speu_cli.checkpoints.write import (
    RECORD_NAME,
    check_checkpoint_output,
    identify_as_stored,
    planned_files,
    read_record,
    write_checkpoint,
)
from speu_cli.errors import ArtifactError, InputError, OutputExistsError
from tiny import FAMILIES, tiny_checkpoint, tiny_model

RECORD: dict[str, Any] = {"kind": "unlearning", "rate": 1e-3}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint(tmp_path / "model"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_complete_checkpoint(family: str, tmp_path: Path) -> None:
    source = load_checkpoint(tiny_checkpoint(tmp_path / "model", family))
    changed = {"roberta": "classifier.dense.bias", "llama": "score.weight"}.get(family, "classifier.bias")
    source.model.get_parameter(changed).add_(1)
    write_checkpoint(source, tmp_path / "new", RECORD, force=False)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    assert type(model) is type(source.model)
    inputs = AutoTokenizer.from_pretrained(tmp_path / "new")("word1 word7 unknown", return_tensors="pt")
    assert torch.equal(model(**inputs).logits, source.model(**inputs).logits)
    assert json.loads((tmp_path / "new" / RECORD_NAME).read_text()) == RECORD
    assert read_record(tmp_path / "new") == RECORD
    assert load_checkpoint(tmp_path / "new").identity == identify_as_stored(source)


def test_half_precision_is_written_as_it_was(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "model")
    tiny_model("bert").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    checkpoint = load_checkpoint(tmp_path / "model")
    checkpoint.model.get_parameter("classifier.bias").add_(1.2345678)
    write_checkpoint(checkpoint, tmp_path / "new", RECORD, force=False)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "new"))
    assert before.keys() == after.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["classifier.bias"]
    assert checkpoint.model.dtype == torch.float32
    assert load_checkpoint(tmp_path / "new").identity == identify_as_stored(checkpoint)


def test_other_files_come_along_and_weights_do_not(checkpoint: Checkpoint, tmp_path: Path) -> None:
    kept = {
        "README.md": b"# mine\r\n",
        "vocab.txt": b"\xff\x00",
        ".gitattributes": b"*",
        "modules.json": b"[]",
    }
    dropped = ["pytorch_model.bin", "training_args.bin", "trainer_state.json", "model.onnx", "tf_model.h5"]
    dropped += ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "optimizer.pt"]
    dropped += ["speu-mask.safetensors"]
    for name, content in kept.items():
        (checkpoint.folder / name).write_bytes(content)
    for name in dropped:
        (checkpoint.folder / name).write_bytes(b"stale")
    (checkpoint.folder / RECORD_NAME).write_text('{"stale": true}')
    (checkpoint.folder / "checkpoint-100").mkdir()
    write_checkpoint(checkpoint, tmp_path / "new", RECORD, force=False)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    carried = {*kept, "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names == {*carried, "model.safetensors", RECORD_NAME}
    for name in carried:
        assert (tmp_path / "new" / name).read_bytes() == (checkpoint.folder / name).read_bytes()
    assert read_record(tmp_path / "new") == RECORD
    planned = planned_files(checkpoint)
    assert planned.keys() == names
    for name in carried:
        assert planned[name] == (tmp_path / "new" / name).stat().st_size


def test_nothing_stale_is_left_in_a_replaced_folder(checkpoint: Checkpoint, tmp_path: Path) -> None:
    new = tmp_path / "new"
    write_checkpoint(checkpoint, new, RECORD, force=False)
    (new / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(OutputExistsError):
        write_checkpoint(checkpoint, new, RECORD, force=False)
    assert (new / "model.safetensors.index.json").exists()
    write_checkpoint(checkpoint, new, {"again": 1}, force=True)
    assert not (new / "model.safetensors.index.json").exists()
    assert read_record(new) == {"again": 1}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_modes_follow_the_umask(mask: int, mode: int, checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_checkpoint(checkpoint, tmp_path / "new", RECORD, force=False)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {mode}


def test_extra_files(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_checkpoint(
        checkpoint, tmp_path / "new", RECORD, force=False, extra=lambda folder: (folder / "more").touch()
    )
    assert (tmp_path / "new" / "more").exists()
    assert planned_files(checkpoint, ["more"])["more"] is None


def test_a_failure_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_checkpoint(checkpoint, tmp_path / "new", RECORD, force=False, extra=fail)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_checkpoint(checkpoint, tmp_path / "new", {"loss": float("nan")}, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.lock", "model"]


@pytest.mark.parametrize("force", [True, False])
def test_never_over_the_model_itself(force: bool, checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("model")
    before = (checkpoint.folder / "model.safetensors").read_bytes()
    for target in (checkpoint.folder, tmp_path / "link", tmp_path):
        with pytest.raises(InputError, match="would replace the input"):
            write_checkpoint(checkpoint, target, RECORD, force=force)
    assert (checkpoint.folder / "model.safetensors").read_bytes() == before


def test_never_over_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    check_checkpoint_output(tmp_path / "home", force=True)
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds something else than a checkpoint"):
        check_checkpoint_output(tmp_path / "home", force=True)


@pytest.mark.parametrize("content", ["{", "[]", "3", ""])
def test_a_record_that_is_not_readable(content: str, checkpoint: Checkpoint) -> None:
    assert read_record(checkpoint.folder) is None
    (checkpoint.folder / RECORD_NAME).write_text(content)
    with pytest.raises(ArtifactError, match=RECORD_NAME):
        read_record(checkpoint.folder)
