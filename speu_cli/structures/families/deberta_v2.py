"""DeBERTa v2 and v3: the projections of relative positions are a head's too, where they are separate.

With "p2c" in ``pos_att_type`` the bias of a key has a gradient; units own nothing of it all the same.
"""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, QUERY, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="deberta-v2",
    layer="encoder.layer.{}",
    heads=UnitPaths(
        inputs=(
            Input("attention.self.query_proj"),
            Input("attention.self.key_proj", (KEY_WITHOUT_ROTATION,)),
            Input("attention.self.value_proj", (VALUE,)),
            Input("attention.self.pos_query_proj", (QUERY,), optional=True),
            Input("attention.self.pos_key_proj", (KEY_WITHOUT_ROTATION,), optional=True),
        ),
        output="attention.output.dense",
    ),
    filters=UnitPaths(inputs=(Input("intermediate.dense"),), output="output.dense"),
    # What the table of relative positions goes through; it has no examples.
    left_to_autograd={
        "encoder.LayerNorm": "",
        "attention.self.pos_query_proj": "",
        "attention.self.pos_key_proj": "",
        "attention.self.query_proj": "share_att_key",
        "attention.self.key_proj": "share_att_key",
    },
)
