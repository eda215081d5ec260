"""ViT."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="vit",
    layer="layers.{}",
    heads=UnitPaths(
        inputs=(
            Input("attention.q_proj"),
            Input("attention.k_proj", (KEY_WITHOUT_ROTATION,)),
            Input("attention.v_proj", (VALUE,)),
        ),
        output="attention.o_proj",
    ),
    filters=UnitPaths(inputs=(Input("mlp.fc1"),), output="mlp.fc2"),
)
