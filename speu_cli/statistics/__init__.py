"""Sums over sets of examples: squared gradients, gradients, and those of the mask variables."""
