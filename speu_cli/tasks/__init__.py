"""Tasks: how an example is encoded, what its loss is, and how predictions are scored.

One file a task; a new one is registered in :mod:`speu_cli.tasks.registry`.
"""
