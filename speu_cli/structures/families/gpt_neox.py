"""GPT-NeoX and Pythia: query, key and value of a head lie side by side.

Rotary positions turn a part of a key's features only, so the bias of keys is left out as a whole.
"""

from speu_cli.structures.family import KEY_WITHOUT_ROTATION, QUERY, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="gpt_neox",
    layer="layers.{}",
    heads=UnitPaths(
        inputs=(Input("attention.query_key_value", (QUERY, KEY_WITHOUT_ROTATION, VALUE), interleaved=True),),
        output="attention.dense",
    ),
    filters=UnitPaths(inputs=(Input("mlp.dense_h_to_4h"),), output="mlp.dense_4h_to_h"),
)
