"""ALBERT: its layers share their weights, so the units of a group of layers are all there are."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="albert",
    layer="encoder.albert_layer_groups.{}.albert_layers.{}",
    layers=("num_hidden_groups", "inner_group_num"),
    heads=UnitPaths(
        inputs=(
            Input("attention.query"),
            Input("attention.key", (KEY_WITHOUT_ROTATION,)),
            Input("attention.value", (VALUE,)),
        ),
        output="attention.dense",
    ),
    filters=UnitPaths(inputs=(Input("ffn"),), output="ffn_output"),
)
