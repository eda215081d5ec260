"""Images in folders, in lists of files and in tables, and what is no image."""

import hashlib
import json
import os
from io import BytesIO
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image
from tiny_tasks import pictures

from speu_cli.data.columns import DataChoice
from speu_cli.data.examples import Examples
from speu_cli.data.pictures import Picture
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError

ASKED = DataChoice(task="image-classification")


def read(source: Path) -> Examples:
    return load_examples(str(source), ASKED)


def png(width: int = 3, height: int = 2, colour: tuple[int, int, int] = (1, 2, 3)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "png")
    return buffer.getvalue()


def picture_of(examples: Examples, number: int = 0) -> Picture:
    picture = examples[number].image
    assert picture is not None
    return picture


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    examples = read(pictures(tmp_path / "set", 5))
    assert examples.ids == ["apple/0.png", "apple/3.png", "fig/1.png", "fig/4.png", "pear/2.png"]
    assert [example.label for example in examples] == ["apple", "apple", "fig", "fig", "pear"]
    content = (tmp_path / "set" / "fig" / "1.png").read_bytes()
    assert picture_of(examples, 2).sha256 == hashlib.sha256(content).hexdigest()
    assert examples.source == "set"


def test_a_list_beside_the_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.png").write_bytes(png())
    (tmp_path / "metadata.csv").write_text("file_name,label\nimages/one.png,fig\n")
    (from_folder,), (from_file,) = read(tmp_path), read(tmp_path / "metadata.csv")
    assert from_folder == from_file
    assert (from_file.id, from_file.label) == ("0", "fig")
    (tmp_path / "list.jsonl").write_text(json.dumps({"id": 7, "path": "images/one.png", "label": 2}) + "\n")
    (example,) = read(tmp_path / "list.jsonl")
    assert (example.id, example.label, example.text) == ("7", 2, "")


@pytest.mark.parametrize("record", [True, False])
def test_parquet(record: bool, tmp_path: Path) -> None:
    cells = [{"bytes": png(), "path": "one.png"} if record else png()]
    pyarrow.parquet.write_table(pyarrow.table({"image": cells, "label": [1]}), tmp_path / "a.parquet")
    examples = read(tmp_path / "a.parquet")
    assert picture_of(examples).pixels().size == (3, 2)
    assert picture_of(examples).sha256 == hashlib.sha256(png()).hexdigest()
    assert (examples.ids, examples[0].label) == (["0"], 1)


def test_a_saved_data_set(tmp_path: Path) -> None:
    features = Features(
        {"image": ImageFeature(), "label": ClassLabel(names=["a", "b"]), "id": Value("string")}
    )
    rows = {"image": [{"bytes": png(), "path": None}], "label": [1], "id": ["x"]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    examples = read(tmp_path / "saved")
    assert (examples.ids, examples[0].label) == (["x"], 1)
    assert picture_of(examples).sha256 == hashlib.sha256(png()).hexdigest()


def test_the_content_counts_for_the_hash(tmp_path: Path) -> None:
    hashes = []
    for colour in ((0, 0, 0), (9, 9, 9)):
        (tmp_path / "fig").mkdir(exist_ok=True)
        (tmp_path / "fig" / "a.png").write_bytes(png(colour=colour))
        examples = read(tmp_path)
        hashes.append(int(examples.row_hashes()[0]))
        content = json.dumps(
            ["fig/a.png", "", None, "fig", picture_of(examples).sha256], separators=(",", ":")
        )
        digest = hashlib.sha256(content.encode()).digest()[:8]
        assert hashes[-1] == int.from_bytes(digest, "little", signed=True)
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "a/../../secret.png", "link.png"])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "set" / "list.jsonl").write_text(json.dumps({"image": path, "label": 0}) + "\n")
    with pytest.raises(InputError, match="is not below"):
        read(tmp_path / "set" / "list.jsonl")


@pytest.mark.parametrize(
    ("name", "message"), [("none.png", "no file"), ("pipe.png", "no file"), ("a\0", "null")]
)
def test_what_is_no_file_is_refused(name: str, message: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "list.jsonl").write_text(json.dumps({"image": name, "label": 0}) + "\n")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "list.jsonl")


@pytest.mark.parametrize("cell", [None, "", 5, {"bytes": None, "path": None}])
def test_a_cell_without_an_image_is_refused(cell: object, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(json.dumps({"image": cell, "label": 0}) + "\n")
    with pytest.raises(InputError, match=r"line 1, column 'image': .* expected an image"):
        read(tmp_path / "list.jsonl")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("a")
    with pytest.raises(InputError, match="got no images"):
        read(tmp_path)


def test_pixels_are_red_green_and_blue_as_the_camera_was_held(tmp_path: Path) -> None:
    image = Image.new("L", (4, 2), 7)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    buffer = BytesIO()
    image.save(buffer, "png", exif=exif)
    pixels = Picture.of_bytes("a", buffer.getvalue()).pixels()
    assert (pixels.mode, pixels.size, pixels.getpixel((0, 0))) == ("RGB", (2, 4), (7, 7, 7))


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", png()[:40], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"],
    ids=["empty", "text", "cut", "eps"],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="image 'a' cannot be decoded"):
        Picture.of_bytes("a", content).pixels()


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Picture.of_bytes("a", png(10, 10)).check()
    for width in (11, 21):  # Pillow itself warns of the one, and refuses the other
        with pytest.raises(InputError, match="decompression bomb"):
            Picture.of_bytes("a", png(width, 10)).check()
