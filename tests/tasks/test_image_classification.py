"""Images as pixels, and their statistics."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tasks import image_processor, pictures, seeing

from laws import Case, Notes, largest_difference
from oracles import statistics as oracle
from speu_cli.data.columns import DataChoice
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import InputError
from speu_cli.statistics.collector import collect
from speu_cli.statistics.wanted import Wanted, wanted_parameters
from speu_cli.structures.layout import find_layout
from speu_cli.tasks.encoding import encode
from speu_cli.tasks.image_classification import ImageClassification, tokens_of
from speu_cli.tasks.outcomes import outcomes
from tiny import tiny_tokenizer

ASKED = DataChoice(task="image-classification")
TASK = ImageClassification()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    model = seeing().double()
    examples = load_examples(str(pictures(tmp_path / "set", 7)), ASKED)
    encoded = encode(examples, image_processor(), TASK, model, tokens_of(model.config))
    return Case(model, find_layout(model), TASK, encoded)


def test_pixels_are_those_of_the_image_processor(case: Case, tmp_path: Path) -> None:
    inputs, labels = case.encoded.collate([3, 0])
    examples = load_examples(str(tmp_path / "set"), ASKED)
    for pixels, number in zip(inputs["pixel_values"], (3, 0), strict=True):
        picture = examples[number].image
        assert picture is not None
        expected = image_processor()(picture.pixels(), return_tensors="pt")["pixel_values"][0]
        assert torch.equal(pixels, expected)
    assert labels.tolist() == [1, 0]
    chosen = case.encoded.select([3, 0])
    assert torch.equal(chosen.collate([0, 1])[0]["pixel_values"], inputs["pixel_values"])
    assert (chosen.ids, chosen.lengths) == ([examples[3].id, examples[0].id], [5, 5])


@pytest.mark.parametrize("scope", ["structures", "all"])
def test_statistics_are_those_of_autograd(case: Case, scope: str) -> None:
    names = wanted_parameters(case.model, case.layout, "all" if scope == "all" else "structures")
    expected = oracle.statistics(case.model, case.layout, TASK, case.encoded, names)
    for tokens in (1, 12, 500):
        collected = collect(
            case.model,
            case.layout,
            TASK,
            case.encoded,
            batch_tokens=tokens,
            wanted=Wanted(dict.fromkeys(names)),
            progress=Notes(),
        )
        assert largest_difference(collected.statistics, expected) < 1e-10


def test_outcomes_do_not_depend_on_the_batches(case: Case) -> None:
    one, other = (outcomes(case.model, TASK, case.encoded, batch_tokens=size) for size in (1, 500))
    assert np.allclose(one.losses, other.losses, rtol=1e-10)
    assert np.array_equal(one.answers["labels"], [0, 0, 0, 1, 1, 2, 2])


def test_a_broken_image_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "set", 3)
    (folder / "fig" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"image 'fig/1.png' cannot be decoded"):
        encode(load_examples(str(folder), ASKED), image_processor(), TASK, seeing(), 5)


def test_texts_and_images_do_not_go_together(tmp_path: Path) -> None:
    examples = load_examples(str(pictures(tmp_path / "set", 3)), ASKED)
    with pytest.raises(InputError, match="the model reads texts"):
        encode(examples, tiny_tokenizer("bert"), TASK, seeing(), 5)
    with pytest.raises(InputError, match="has no image"):
        words = DataChoice(text_column="image")
        (tmp_path / "a.csv").write_text("image,label\na,0\n")
        encode(load_examples(str(tmp_path / "a.csv"), words), image_processor(), TASK, seeing(), 5)
