"""A tiny configuration of every family that there is a table of, beyond the four of most tests."""

from collections.abc import Callable
from typing import Any

from transformers import (
    AlbertConfig,
    DebertaV2Config,
    ElectraConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    MistralConfig,
    MixtralConfig,
    ModernBertConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    ViTConfig,
)

SHARED_HEADS: dict[str, Any] = {
    "num_key_value_heads": 2,
    "use_cache": False,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "head_dim": 6,
}
MORE: dict[str, Callable[..., PretrainedConfig]] = {
    "electra": lambda **sizes: ElectraConfig(**sizes, embedding_size=12),
    "albert": lambda **sizes: AlbertConfig(
        **sizes, embedding_size=12, num_hidden_groups=1, inner_group_num=2, classifier_dropout_prob=0.0
    ),
    "deberta-v2": lambda **sizes: DebertaV2Config(
        **sizes, relative_attention=True, pos_att_type=["c2p"], share_att_key=False, position_buckets=5
    ),
    "deberta-v2-shared": lambda **sizes: DebertaV2Config(
        **sizes,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_buckets=5,
    ),
    "modernbert": lambda **sizes: ModernBertConfig(
        **sizes, local_attention=6, bos_token_id=0, eos_token_id=2, cls_token_id=0, sep_token_id=2
    ),
    "vit": lambda **sizes: ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=1),
    "gpt2": lambda **sizes: GPT2Config(**_renamed(sizes, intermediate_size="n_inner"), use_cache=False),
    "opt": lambda **sizes: OPTConfig(
        **_renamed(sizes, intermediate_size="ffn_dim"), word_embed_proj_dim=12, use_cache=False
    ),
    "gpt_neox": lambda **sizes: GPTNeoXConfig(**sizes, rotary_pct=0.5, use_cache=False),
    "mistral": lambda **sizes: MistralConfig(**sizes, **SHARED_HEADS, sliding_window=4, head_dim=6),
    "qwen2": lambda **sizes: Qwen2Config(**sizes, **SHARED_HEADS),
    "qwen3": lambda **sizes: Qwen3Config(**sizes, **SHARED_HEADS, head_dim=6),
    "gemma3_text": lambda **sizes: Gemma3TextConfig(**sizes, **SHARED_HEADS, head_dim=6, sliding_window=4),
    "phi3": lambda **sizes: Phi3Config(**sizes, **SHARED_HEADS),
    "mixtral": lambda **sizes: MixtralConfig(
        **{**sizes, "intermediate_size": 8}, **SHARED_HEADS, num_local_experts=3
    ),
    "qwen2_moe": lambda **sizes: Qwen2MoeConfig(
        **sizes, **SHARED_HEADS, **EXPERTS, shared_expert_intermediate_size=10
    ),
    "qwen3_moe": lambda **sizes: Qwen3MoeConfig(**sizes, **SHARED_HEADS, **EXPERTS, mlp_only_layers=[0]),
    "olmo2": lambda **sizes: Olmo2Config(**sizes, **SHARED_HEADS),
}


def _renamed(sizes: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): size for name, size in sizes.items()}
