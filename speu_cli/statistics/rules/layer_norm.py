"""Layer normalisation: y = w ⊙ x̂ + b, so G_n of w is Σ_t δ_nt ⊙ x̂_nt."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from speu_cli.statistics.factors import Dense, Factor, sum_by_example
from speu_cli.statistics.rules.registry import rule_of


@rule_of(nn.LayerNorm)
def layer_norm(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` and ``bias``, both ``[width]``."""
    norm = cast(nn.LayerNorm, module)
    wide = torch.promote_types(deltas.dtype, torch.float32)

    def of_weight() -> Tensor:
        normalised = functional.layer_norm(inputs.to(wide), inputs.shape[1:], eps=norm.eps)
        return sum_by_example(deltas * normalised, len(spans))

    def of_bias() -> Tensor:
        return sum_by_example(deltas.to(wide), len(spans))

    return {"weight": Dense(of_weight), "bias": Dense(of_bias)}
