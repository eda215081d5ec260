"""Phi-3: Llama with queries, keys and values of one module, and gated filters of one."""

from speu_cli.structures.family import FILTER, KEY, QUERY, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="phi3",
    layer="layers.{}",
    heads=UnitPaths(inputs=(Input("self_attn.qkv_proj", (QUERY, KEY, VALUE)),), output="self_attn.o_proj"),
    filters=UnitPaths(inputs=(Input("mlp.gate_up_proj", (FILTER, FILTER)),), output="mlp.down_proj"),
)
