"""Weights rounded to few bits and put back as floats: what a model computes after quantisation.

Rounding is to the nearest, symmetric about zero, without data: what every quantiser starts from. Activations,
biases, embeddings and norms stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Precision = Literal["int8", "int4"]
EXPERTS = "experts"
STACKED = 3  # axes of the weights of several experts in one tensor


@dataclass(frozen=True)
class Scheme:
    """How a weight is rounded.

    Attributes:
        largest: The whole numbers go from minus this to this.
        group: Neighbouring inputs of one output that share a scale. Default: all of them.
    """

    largest: int
    group: int | None = None


SCHEMES: dict[Precision, Scheme] = {"int8": Scheme(127), "int4": Scheme(7, group=64)}


def rounded(weight: Tensor, scheme: Scheme) -> Tensor:
    """Round a weight: w → s·round(w/s), with s = max|w| / largest of each group.

    Args:
        weight: ``[…, out, in]``. Groups run along the inputs of one output; the last of them may be smaller.
        scheme: How.

    Returns:
        As the weight; a group of zeros stays zero.
    """
    groups = weight.split(scheme.group or weight.shape[-1], dim=-1)
    return torch.cat([_of_group(group, scheme.largest) for group in groups], dim=-1)


def _of_group(group: Tensor, largest: int) -> Tensor:
    scale = group.abs().amax(dim=-1, keepdim=True) / largest
    scale = scale.where(scale > 0, 1.0)
    return (group / scale).round() * scale


@torch.no_grad()
def quantize(model: nn.Module, scheme: Scheme) -> None:
    """Round the weights of all linear layers, in place.

    Each weight is rounded once, however many layers share it. One that is an embedding too is left alone.

    Args:
        model: Any.
        scheme: How.
    """
    for weight in list(linear_weights(model)):
        weight.copy_(rounded(weight, scheme))


def linear_weights(model: nn.Module) -> Iterator[Tensor]:
    """Find the weights of all linear layers, each once.

    Args:
        model: Any.

    Yields:
        Views of them, ``[…, out, in]``.
    """
    seen = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for path, module in model.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in seen:
                continue
            seen.add(id(weight))
            if isinstance(module, Conv1D) and name == "weight":
                yield weight.T
            elif isinstance(module, nn.Linear) and name == "weight":
                yield weight
            elif path.endswith(EXPERTS) and weight.ndim == STACKED:
                yield weight
