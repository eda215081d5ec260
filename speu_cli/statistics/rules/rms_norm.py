"""Root-mean-square normalisation: y = w ⊙ x̂, or (1 + w) ⊙ x̂; G_n of w is Σ_t δ_nt ⊙ x̂_nt for both."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from speu_cli.statistics.factors import Dense, Factor, sum_by_example
from speu_cli.statistics.rules.registry import rule_of

# Each family has its own class; they differ in what they call ε, and Gemma's counts from 1.
FAMILIES = (
    *("llama.Llama", "mistral.Mistral", "qwen2.Qwen2", "qwen3.Qwen3", "phi3.Phi3", "gemma3.Gemma3"),
    *("olmo2.Olmo2", "mixtral.Mixtral", "qwen2_moe.Qwen2Moe", "qwen3_moe.Qwen3Moe"),
)
CLASSES = [
    f"transformers.models.{family}.modeling_{family}.{name}RMSNorm"
    for family, _, name in (one.partition(".") for one in FAMILIES)
]


@rule_of(nn.RMSNorm, *CLASSES)
def rms_norm(module: nn.Module, inputs: Tensor, deltas: Tensor, spans: Tensor) -> Mapping[str, Factor]:
    """Gradients of ``weight`` ``[width]``."""

    def gradients() -> Tensor:
        return sum_by_example(deltas * _normalised(module, inputs), len(spans))

    return {"weight": Dense(gradients)}


def _normalised(module: nn.Module, inputs: Tensor) -> Tensor:
    """x̂, in float32 at least; the families' classes compute it in float32 whatever the model's type."""
    at_least = inputs.dtype if isinstance(module, nn.RMSNorm) else torch.float32
    wide = inputs.to(torch.promote_types(at_least, torch.float32))
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if epsilon is None:  # as torch.nn.RMSNorm has it
        epsilon = torch.finfo(wide.dtype).eps
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
