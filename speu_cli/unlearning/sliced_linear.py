"""A linear layer of which only some rows or columns have gradients."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

ROWS = 0


@dataclass(frozen=True, eq=False)
class SlicedLinear:
    """What a linear layer does in place of its ``forward``: the same outputs, gradients of the slices alone.

    With δ the gradient of the outputs and a the inputs, over all positions: rows R get δ[:, R]ᵀ·a, columns
    C get δᵀ·a[:, C], and of the inputs only a[:, C] are kept for it.

    Attributes:
        module: The layer; its weight and bias require no gradients.
        axis: 0 for rows, 1 for columns.
        indices: Of the rows or columns, int64.
        entries: Which entries of them are trained, bool in their shape; None: all.
        weight: Parameter that receives their gradients.
        bias: Likewise, for entries of the bias; None if none of them is trained.
        bias_indices: Those entries.
    """

    module: nn.Linear
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


class _SlicedProduct(torch.autograd.Function):
    """The differentiable product; the slices are in its arguments so that autograd hands them gradients."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, layer: SlicedLinear) -> Tensor:
        seen = inputs if layer.axis == ROWS else inputs.index_select(-1, layer.indices)
        ctx.layer = layer
        ctx.save_for_backward(seen, layer.module.weight)
        return functional.linear(inputs, layer.module.weight, layer.module.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        seen, full = ctx.saved_tensors
        layer: SlicedLinear = ctx.layer
        flat = delta.reshape(-1, delta.shape[-1])
        chosen = flat.index_select(1, layer.indices) if layer.axis == ROWS else flat
        weight = chosen.T @ seen.reshape(-1, seen.shape[-1])
        if layer.entries is not None:
            weight = weight[layer.entries]
        bias = None
        if layer.bias is not None and layer.bias_indices is not None:
            bias = flat.index_select(1, layer.bias_indices).sum(0).to(layer.bias.dtype)
        inputs = delta @ full if ctx.needs_input_grad[0] else None
        return inputs, weight.to(layer.weight.dtype), bias, None
