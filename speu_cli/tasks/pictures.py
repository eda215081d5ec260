"""Images as pixels, which are decoded when a batch needs them: all at once they would fill the memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from speu_cli.checkpoints.processors import ImageProcessor
from speu_cli.data.pictures import Picture
from speu_cli.errors import InputError
from speu_cli.tasks.encoded import Encoded


@dataclass(frozen=True)
class EncodedPictures(Encoded):
    """Images and labels of a set of examples.

    Attributes:
        pictures: One of each example.
        processor: Makes pixels of them.
        tokens: How many tokens the model makes of an image.
    """

    pictures: Sequence[Picture] = ()
    processor: ImageProcessor | None = None
    tokens: int = 1

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each example: images are of one size."""
        return [self.tokens] * len(self)

    @property
    def row_lengths(self) -> list[int]:
        """Likewise."""
        return self.lengths

    def select(self, indices: Sequence[int]) -> "EncodedPictures":
        """The examples at these positions, in this order."""
        chosen = list(indices)
        return replace(
            self,
            labels=self.labels[chosen],
            ids=[self.ids[i] for i in chosen],
            keys=self.keys[chosen],
            pictures=[self.pictures[i] for i in chosen],
        )

    def collate(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Model inputs ``[batch, channels, height, width]`` and labels ``[batch]``."""
        if self.processor is None:
            raise InputError("the images have no image processor, expected the model's")
        images = [self.pictures[i].pixels() for i in indices]
        pixels: Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels}, self.labels[list(indices)]

    def spans(self, indices: Sequence[int]) -> tuple[Tensor, int]:
        """First position of each example and number of them, int64 ``[batch, 2]``; and that number."""
        count = len(indices)
        spans = torch.stack([torch.arange(count) * self.tokens, torch.full((count,), self.tokens)], 1)
        return spans, self.tokens

    def real(self, indices: Sequence[int]) -> Tensor:
        """Every position of a batch, bool ``[batch, tokens]``."""
        return torch.ones(len(indices), self.tokens, dtype=torch.bool)


@dataclass(frozen=True)
class RandomPictures(EncodedPictures):
    """Noise in place of images.

    Attributes:
        shape: Channels, height and width.
    """

    shape: tuple[int, int, int] = (3, 1, 1)

    def collate(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Noise ``[batch, channels, height, width]``, and labels ``[batch]``."""
        draw = torch.Generator().manual_seed(0)
        pixels = torch.randn(len(indices), *self.shape, generator=draw)
        return {"pixel_values": pixels}, self.labels[list(indices)]
