"""Llama; with grouped-query attention several query heads share the rows of one key and value head."""

from speu_cli.structures.family import KEY, VALUE, Family, Input, UnitPaths

HEADS = UnitPaths(
    inputs=(
        Input("self_attn.q_proj"),
        Input("self_attn.k_proj", (KEY,)),
        Input("self_attn.v_proj", (VALUE,)),
    ),
    output="self_attn.o_proj",
)
FILTERS = UnitPaths(inputs=(Input("mlp.gate_proj"), Input("mlp.up_proj")), output="mlp.down_proj")
FAMILY = Family(model_type="llama", layer="layers.{}", heads=HEADS, filters=FILTERS)
