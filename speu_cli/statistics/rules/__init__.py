"""How each layer type sums its per-example gradients: one file a type."""
