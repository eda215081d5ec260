"""Linear layers: y = W a + b, so G_n of W is Σ_t δ_nt ⊗ a_nt."""

from collections.abc import Mapping

from torch import Tensor, nn

from speu_cli.statistics.factors import Factor, Outer
from speu_cli.statistics.rules.bias import of_bias
from speu_cli.statistics.rules.registry import rule_of


@rule_of(nn.Linear)
def linear(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` ``[out, in]`` and ``bias`` ``[out]``."""
    return {"weight": Outer(inputs, deltas, spans), "bias": of_bias(deltas, len(spans))}
