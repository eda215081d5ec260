"""Evaluation: pure functions over a model's outcomes on the forget, remaining and test sets."""
