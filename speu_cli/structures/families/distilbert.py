"""DistilBERT."""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="distilbert",
    layer="transformer.layer.{}",
    heads=UnitPaths(
        inputs=(
            Input("attention.q_lin"),
            Input("attention.k_lin", (KEY_WITHOUT_ROTATION,)),
            Input("attention.v_lin", (VALUE,)),
        ),
        output="attention.out_lin",
    ),
    filters=UnitPaths(inputs=(Input("ffn.lin1"),), output="ffn.lin2"),
)
