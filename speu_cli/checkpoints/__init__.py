"""Saved models: load one, tell who it is, write a new one beside it."""
