"""GPT-2: queries, keys and values of one module; all weights are stored the other way round."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, QUERY, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="gpt2",
    layer="h.{}",
    heads=UnitPaths(
        inputs=(Input("attn.c_attn", (QUERY, KEY_WITHOUT_ROTATION, VALUE)),), output="attn.c_proj"
    ),
    filters=UnitPaths(inputs=(Input("mlp.c_fc"),), output="mlp.c_proj"),
)
