"""Recipes: how a second-order step is made, from its examples to its target, as one small object."""
