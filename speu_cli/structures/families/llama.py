"""Llama; with grouped-query attention several query heads share the rows of one key and value head."""

from speu_cli.structures.family import Family, UnitPaths

FAMILY = Family(
    model_type="llama",
    layer="layers.{layer}",
    heads=UnitPaths(
        inputs=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        output="self_attn.o_proj",
        shared=("self_attn.k_proj", "self_attn.v_proj"),
    ),
    filters=UnitPaths(inputs=("mlp.gate_proj", "mlp.up_proj"), output="mlp.down_proj"),
)
