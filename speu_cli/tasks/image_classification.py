"""Image classification, two or more classes."""

from collections.abc import Sequence

import torch
from transformers import PretrainedConfig

from speu_cli.data.columns import IMAGE_CLASSIFICATION
from speu_cli.data.examples import Example, Examples
from speu_cli.data.pictures import Picture
from speu_cli.errors import InputError
from speu_cli.tasks.classes import Classes
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.pictures import EncodedPictures, RandomPictures
from speu_cli.tasks.preparation import Preparation


class ImageClassification(Classes):
    """Classes of images."""

    name = IMAGE_CLASSIFICATION

    def encode(self, examples: Examples, how: Preparation) -> Encoded:
        """Check the images, whose pixels are read later, and look their labels up."""
        pictures = [_picture(example) for example in examples]
        for picture in pictures:
            picture.check()
        return EncodedPictures(
            (),
            self.labels(examples, how.config),
            {},
            examples.ids,
            torch.from_numpy(examples.row_hashes()),
            pictures=pictures,
            processor=how.image_processor,
            tokens=how.max_length,
        )

    def made_up(self, lengths: Sequence[int], config: PretrainedConfig) -> Encoded:
        """Noise of the first class."""
        count, size = len(lengths), config.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return RandomPictures(
            (),
            torch.zeros(count, dtype=torch.int64),
            {},
            [str(number) for number in range(count)],
            torch.arange(count),
            tokens=lengths[0] if lengths else 1,
            shape=(config.num_channels, height, width),
        )


def tokens_of(config: PretrainedConfig) -> int:
    """How many tokens a model makes of an image: its patches and one more; 1 if it does not say."""
    size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    if not isinstance(size, int) or not isinstance(patch, int):
        return 1
    return (size // patch) ** 2 + 1


def _picture(example: Example) -> Picture:
    if example.image is None:
        raise InputError(
            f"example {example.id!r} has no image, expected one",
            hint="read the data with --task image-classification",
        )
    return example.image
