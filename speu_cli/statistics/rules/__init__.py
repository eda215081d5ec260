"""How each layer type's per-example gradients come from its inputs and output gradients: one file a type."""

from speu_cli.statistics.rules import conv1d, embedding, layer_norm, linear, rms_norm
from speu_cli.statistics.rules.registry import RULES, Rule, find_rule

__all__ = ["RULES", "Rule", "conv1d", "embedding", "find_rule", "layer_norm", "linear", "rms_norm"]
