"""Make a model forget: the second-order step, its rate, and training."""
