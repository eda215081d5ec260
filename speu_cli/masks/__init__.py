"""Which units to update: importance, selection, rearrangement."""
