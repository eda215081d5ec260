import json
import shutil
from pathlib import Path

import pytest
import torch

from speu_cli.checkpoints.identity import ModelIdentity, identify
from speu_cli.checkpoints.load import Checkpoint, load_checkpoint
from speu_cli.errors import ArtifactError
from tiny import FAMILIES, tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint(tmp_path / "model"))


def identity_of(checkpoint: Checkpoint) -> ModelIdentity:
    return identify(checkpoint.model, checkpoint.tokenizer)


def test_one_bit_of_one_weight(checkpoint: Checkpoint) -> None:
    before = identity_of(checkpoint)
    checkpoint.model.get_parameter("classifier.bias").view(torch.int32)[0] ^= 1
    after = identity_of(checkpoint)
    assert after.weights != before.weights
    assert (after.architecture, after.config, after.tokenizer) == (
        before.architecture,
        before.config,
        before.tokenizer,
    )


def test_configuration(checkpoint: Checkpoint) -> None:
    before = identity_of(checkpoint)
    checkpoint.model.config.layer_norm_eps = 1e-5
    assert identity_of(checkpoint).config != before.config


@pytest.mark.parametrize(
    ("old", "new"), [('"word1"', '"wordX"'), ('"Whitespace"', '"WhitespaceSplit"'), ('"[SEP]"', '"[sep]"')]
)
def test_tokenizer(old: str, new: str, checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "tokenizer.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    changed = load_checkpoint(checkpoint.folder).identity
    assert changed.tokenizer != checkpoint.identity.tokenizer
    assert changed.weights == checkpoint.identity.weights


@pytest.mark.parametrize("family", FAMILIES)
def test_moved_and_saved_again_it_is_the_same(family: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", family)
    first = load_checkpoint(folder)
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    first.model.save_pretrained(tmp_path / "saved")
    first.tokenizer.save_pretrained(tmp_path / "saved")
    assert load_checkpoint(tmp_path / "elsewhere" / "copy").identity == first.identity
    assert load_checkpoint(tmp_path / "saved").identity == first.identity


def test_other_versions_and_types_in_the_config_do_not_matter(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "config.json"
    fields = json.loads(path.read_text()) | {"transformers_version": "4.0.0", "_name_or_path": "/else/where"}
    path.write_text(json.dumps(fields))
    assert load_checkpoint(checkpoint.folder).identity == checkpoint.identity


def test_use_does_not_change_it(checkpoint: Checkpoint) -> None:
    """Calls set truncation and padding in the tokenizer, a loss the problem type in the configuration."""
    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    inputs = tokenizer(
        ["word1 word2 word3", "word1"],
        truncation=True,
        max_length=4,
        padding="max_length",
        return_tensors="pt",
    )
    model(**inputs)
    assert identity_of(checkpoint) == checkpoint.identity
    tokenizer("word1", truncation=False, padding=False)
    assert identity_of(checkpoint) == checkpoint.identity


@pytest.mark.parametrize("part", ["architecture", "weights", "config", "tokenizer"])
def test_another_model_is_refused_by_part(part: str) -> None:
    mine = ModelIdentity("Model", "w" * 64, "c" * 64, "t" * 64)
    theirs = ModelIdentity(**{**vars(mine), part: "other" * 12})
    mine.require_same(ModelIdentity(**vars(mine)), "file")
    with pytest.raises(
        ArtifactError, match=f"file belongs to another model: its {part} (is|are) otherother"
    ) as caught:
        mine.require_same(theirs, "file")
    assert getattr(mine, part)[:24] in str(caught.value)
