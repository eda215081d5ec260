"""OPT."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="opt",
    layer="decoder.layers.{}",
    heads=UnitPaths(
        inputs=(
            Input("self_attn.q_proj"),
            Input("self_attn.k_proj", (KEY_WITHOUT_ROTATION,)),
            Input("self_attn.v_proj", (VALUE,)),
        ),
        output="self_attn.out_proj",
    ),
    filters=UnitPaths(inputs=(Input("fc1"),), output="fc2"),
)
