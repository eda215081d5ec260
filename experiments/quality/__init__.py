"""How near a recipe comes to retraining, on every set and draw, and what each of its parts adds."""
