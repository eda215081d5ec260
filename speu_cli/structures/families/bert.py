"""BERT."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="bert",
    layer="encoder.layer.{}",
    heads=UnitPaths(
        inputs=(
            Input("attention.self.query"),
            Input("attention.self.key", (KEY_WITHOUT_ROTATION,)),
            Input("attention.self.value", (VALUE,)),
        ),
        output="attention.output.dense",
    ),
    filters=UnitPaths(inputs=(Input("intermediate.dense"),), output="output.dense"),
)
