"""What a model has to meet: gates on metrics that exist, read from options and policies, told to machines."""
