"""Mixtral, Qwen2-MoE and Qwen3-MoE: Llama's heads, and filters of experts.

A unit is filter f of expert e. The router belongs to none, and neither does the shared expert of Qwen2-MoE;
layers without experts have Llama's filters.
"""

from dataclasses import replace

from speu_cli.structures.families import llama
from speu_cli.structures.family import FILTER, Input, UnitPaths

EXPERTS = UnitPaths(
    inputs=(Input("mlp.experts.gate_up_proj", (FILTER, FILTER)),), output="mlp.experts.down_proj"
)
FAMILIES = tuple(
    replace(llama.FAMILY, model_type=model_type, filters=EXPERTS, dense_filters=llama.FILTERS)
    for model_type in ("mixtral", "qwen2_moe", "qwen3_moe")
)
