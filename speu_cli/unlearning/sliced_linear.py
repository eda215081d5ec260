"""A linear layer of which only some rows or columns have gradients."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

# The axis of the output features in the weight of each type of layer that is known.
OUTPUT_AXIS: dict[type[nn.Module], int] = {nn.Linear: 0, Conv1D: 1}


@dataclass(frozen=True, eq=False)
class SlicedLinear:
    """What a linear layer does in place of its ``forward``: the same outputs, gradients of the slices alone.

    With δ the gradient of the outputs and a the inputs, over all positions, rows R of a weight ``[outputs,
    inputs]`` get δ[:, R]ᵀ·a; columns C get δᵀ·a[:, C], and of the inputs only a[:, C] are kept for it.

    Attributes:
        module: The layer, of a type in ``OUTPUT_AXIS``; its weight and bias require no gradients.
        axis: Of the weight, along which the slices are.
        indices: Of the slices, int64.
        entries: Which entries of these are trained, bool in their shape; None: all.
        weight: Parameter that receives their gradients.
        bias: Likewise, for entries of the bias; None if none of them is trained.
        bias_indices: Those entries.
    """

    module: nn.Module
    axis: int
    indices: Tensor
    entries: Tensor | None
    weight: nn.Parameter
    bias: nn.Parameter | None
    bias_indices: Tensor | None

    def __call__(self, inputs: Tensor) -> Tensor:
        """The layer's outputs."""
        outputs: Tensor = _SlicedProduct.apply(inputs, self.weight, self.bias, self)  # type: ignore[no-untyped-call]
        return outputs

    @property
    def of_outputs(self) -> bool:
        """Whether the slices are of output features; else they are of input features."""
        return self.axis == OUTPUT_AXIS[type(self.module)]

    @property
    def transposed(self) -> bool:
        """Whether the weight is ``[inputs, outputs]``."""
        return OUTPUT_AXIS[type(self.module)] == 1


class _SlicedProduct(torch.autograd.Function):
    """The differentiable product; the slices are in its arguments so that autograd hands them gradients."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: SlicedLinear) -> Tensor:
        seen = inputs if layer.of_outputs else inputs.index_select(-1, layer.indices)
        ctx.layer = layer
        ctx.save_for_backward(seen, layer.module.weight)
        outputs: Tensor = type(layer.module).forward(layer.module, inputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        seen, full = ctx.saved_tensors
        layer: SlicedLinear = ctx.layer
        flat = delta.reshape(-1, delta.shape[-1])
        chosen = flat.index_select(1, layer.indices) if layer.of_outputs else flat
        seen = seen.reshape(-1, seen.shape[-1])
        weight = seen.T @ chosen if layer.transposed else chosen.T @ seen
        if layer.entries is not None:
            weight = weight[layer.entries]
        bias = None
        if layer.bias is not None and layer.bias_indices is not None:
            bias = flat.index_select(1, layer.bias_indices).sum(0).to(layer.bias.dtype)
        inputs = None
        if ctx.needs_input_grad[0]:
            inputs = delta @ (full.T if layer.transposed else full)
        return inputs, weight.to(layer.weight.dtype), bias, None
