"""ModernBERT: queries, keys and values of one module, and gated filters of one."""

from speu_cli.structures.family import FILTER, KEY, QUERY, VALUE, Family, Input, UnitPaths

FAMILY = Family(
    model_type="modernbert",
    layer="layers.{}",
    heads=UnitPaths(inputs=(Input("attn.Wqkv", (QUERY, KEY, VALUE)),), output="attn.Wo"),
    filters=UnitPaths(inputs=(Input("mlp.Wi", (FILTER, FILTER)),), output="mlp.Wo"),
)
