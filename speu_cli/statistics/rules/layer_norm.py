"""Layer normalisation: y = w ⊙ x̂ + b, so G_n of w is Σ_t δ_nt ⊙ x̂_nt."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from speu_cli.statistics.factors import Dense, Factor
from speu_cli.statistics.rules.registry import rule_of


@rule_of(nn.LayerNorm)
def layer_norm(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` and ``bias``, both ``[width]``."""
    norm = cast(nn.LayerNorm, module)
    wide = torch.promote_types(deltas.dtype, torch.float32)

    def of_weight() -> Tensor:
        normalised = functional.layer_norm(inputs.to(wide), inputs.shape[1:], eps=norm.eps)
        return (deltas * normalised).unflatten(0, (len(spans), -1)).sum(1)

    def of_bias() -> Tensor:
        return deltas.unflatten(0, (len(spans), -1)).sum(1, dtype=wide)

    return {"weight": Dense(of_weight), "bias": Dense(of_bias)}
