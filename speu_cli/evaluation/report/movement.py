"""Where the weights moved: a model against the one before it, by layer and kind of module."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from speu_cli.errors import ArtifactError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")
_PIECE = 2**22  # entries that are turned into float64 at a time


@dataclass(frozen=True)
class Movement:
    """How far the parameters of one module moved.

    Attributes:
        layer: Number of the layer; None outside of the layers.
        kind: Path of the module below the layer, or its whole path.
        distance: ‖θ − θ_before‖₂.
        norm: ‖θ_before‖₂.
    """

    layer: int | None
    kind: str
    distance: float
    norm: float

    @property
    def relative(self) -> float:
        """‖θ − θ_before‖₂ / ‖θ_before‖₂; NaN where all weights were 0."""
        return self.distance / self.norm if self.norm else math.nan


def movements(model: Path, original: Path) -> list[Movement]:
    """Compare two checkpoints, one tensor at a time.

    Args:
        model: Folder of the model after.
        original: Folder of the model before.

    Returns:
        One for each module with parameters, in order of layer and name; those outside of layers last.

    Raises:
        ArtifactError: The folders hold other tensors, or none.
    """
    squares: dict[tuple[int | None, str], list[float]] = {}
    with ExitStack() as stack:
        after, before = (_Weights(folder, stack) for folder in (model, original))
        if after.names != before.names:
            raise ArtifactError(f"{model} and {original} hold other weights than each other")
        for name in sorted(after.names):
            sums = squares.setdefault(_place(name), [0.0, 0.0])
            for moved, was in _pieces(after.tensor(name), before.tensor(name), name):
                sums[0] += float((moved - was).square().sum())
                sums[1] += float(was.square().sum())
    found = [
        Movement(layer, kind, *(math.sqrt(total) for total in sums))
        for (layer, kind), sums in squares.items()
    ]
    return sorted(found, key=lambda one: (one.layer is None, one.layer or 0, one.kind))


def _place(name: str) -> tuple[int | None, str]:
    """Layer and kind of a parameter; further numbers, such as those of experts, are counted together."""
    module = name.rpartition(".")[0] or name
    found = _LAYER.search(name)
    if found is None:
        return None, module
    below = name[found.end() :].rpartition(".")[0] or name[found.end() :]
    return int(found[1]), re.sub(r"(?<=\.)\d+(?=\.|$)", "*", below)


def _pieces(after: Tensor, before: Tensor, name: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Pair the entries of two tensors, some at a time in float64.

    Yields:
        Pieces.

    Raises:
        ArtifactError: They have other shapes.
    """
    if after.shape != before.shape:
        raise ArtifactError(f"'{name}' has shape {list(after.shape)}, before {list(before.shape)}")
    pairs = zip(after.reshape(-1).split(_PIECE), before.reshape(-1).split(_PIECE), strict=True)
    yield from ((moved.double(), was.double()) for moved, was in pairs)


class _Weights:
    """The tensors of a checkpoint folder, read when they are asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        try:
            for path in _files(folder):
                file = stack.enter_context(safe_open(path, framework="pt"))
                self._files |= dict.fromkeys(file.keys(), file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no readable {SINGLE}: {error}") from error

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


def _files(folder: Path) -> list[Path]:
    """The weights of a folder, those of shards by its index alone."""
    index = folder / INDEX
    if not index.exists():
        return [folder / SINGLE]
    names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    outside = next((name for name in names if Path(name).name != name), None)
    if outside is not None:
        raise ValueError(f"{INDEX} names {outside!r}, expected a file beside it")
    return [folder / name for name in names]
