"""BERT."""

from speu_cli.structures.family import Family, UnitPaths

FAMILY = Family(
    model_type="bert",
    layer="encoder.layer.{layer}",
    heads=UnitPaths(
        inputs=("attention.self.query", "attention.self.key", "attention.self.value"),
        output="attention.output.dense",
        unseen=("attention.self.key.bias",),
    ),
    filters=UnitPaths(inputs=("intermediate.dense",), output="output.dense"),
)
