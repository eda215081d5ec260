"""ViT: the patches of an image as tokens."""

from speu_cli.structures.family import Family, UnitPaths

FAMILY = Family(
    model_type="vit",
    layer="layers.{layer}",
    heads=UnitPaths(
        inputs=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        output="attention.o_proj",
        unseen=("attention.k_proj.bias",),
    ),
    filters=UnitPaths(inputs=("mlp.fc1",), output="mlp.fc2"),
)
