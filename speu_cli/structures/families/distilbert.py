"""DistilBERT."""

from speu_cli.structures.family import Family, UnitPaths

FAMILY = Family(
    model_type="distilbert",
    layer="transformer.layer.{layer}",
    heads=UnitPaths(
        inputs=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        output="attention.out_lin",
        unseen=("attention.k_lin.bias",),
    ),
    filters=UnitPaths(inputs=("ffn.lin1",), output="ffn.lin2"),
)
