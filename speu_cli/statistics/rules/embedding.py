"""Embeddings: a token that is there twice in an example adds twice to one row, before squaring."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from speu_cli.statistics.factors import Factor, Rows
from speu_cli.statistics.rules.registry import rule_of


@rule_of(nn.Embedding)
def embedding(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` ``[tokens, width]``; the row of the padding token has none."""
    height, padding = len(module.get_parameter("weight")), cast(nn.Embedding, module).padding_idx
    if padding is not None:
        deltas = deltas.masked_fill(inputs.eq(padding)[:, None], 0)
    return {"weight": Rows(inputs, deltas, spans, height)}
