"""What every metric of ``speu eval`` means: its unit, its range, which way is better, and its interval."""
