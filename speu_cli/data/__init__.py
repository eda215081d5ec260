"""Examples by id: reading them, splitting them into forget and remaining, and batching them by length."""
