"""Image processors: loaded, tried, and refused where the model would not take what they make."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_tasks import PIXELS, save, seeing

from speu_cli.checkpoints.load import load_checkpoint
from speu_cli.checkpoints.outline import load_outline
from speu_cli.checkpoints.processors import ImageProcessor
from speu_cli.errors import ArtifactError

NAME = "preprocessor_config.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("vit") / "model", seeing())


def test_it_stands_in_the_place_of_a_tokenizer(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert isinstance(checkpoint.tokenizer, ImageProcessor)
    assert load_checkpoint(saved).identity == checkpoint.identity
    assert isinstance(
        load_outline(saved, device="cpu", dtype=checkpoint.model.dtype).tokenizer, ImageProcessor
    )


def test_another_setting_is_another_identity(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model")
    settings = json.loads((saved / NAME).read_text()) | {"image_mean": [0.1, 0.2, 0.3]}
    (tmp_path / "model" / NAME).write_text(json.dumps(settings))
    one, other = load_checkpoint(saved).identity, load_checkpoint(tmp_path / "model").identity
    assert (one.weights, one.config) == (other.weights, other.config)
    assert one.tokenizer != other.tokenizer


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot load the image processor"),
        ("{", "cannot load the image processor"),
        ("[]", "cannot load the image processor"),
        ('{"image_processor_type": "Foo"}', "cannot load the image processor"),
        (
            '{"image_processor_type": "ViTImageProcessor", "image_mean": "x"}',
            "cannot load the image processor",
        ),
        (
            '{"image_processor_type": "ViTImageProcessor", "size": 5}',
            rf"\[5, 5\] pixels, expected \[{PIXELS}",
        ),
    ],
)
def test_one_that_does_not_fit_is_refused(
    content: str | None, message: str, saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "model" / NAME).unlink()
    if content is not None:
        (tmp_path / "model" / NAME).write_text(content)
    with pytest.raises(ArtifactError, match=message):
        load_checkpoint(tmp_path / "model")


def test_code_of_its_own_is_never_run(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "model" / "own.py").write_text("raise SystemExit('it ran')\n")
    settings = json.loads((saved / NAME).read_text()) | {"auto_map": {"AutoImageProcessor": "own.Own"}}
    (tmp_path / "model" / NAME).write_text(json.dumps(settings))
    assert type(load_checkpoint(tmp_path / "model").tokenizer) is type(load_checkpoint(saved).tokenizer)
