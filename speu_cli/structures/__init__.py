"""Where attention heads and FFN filters live in a model's parameters."""
